"""`type=oci` and `type=docker`: an image as one tar, or as an OCI layout in a directory.

Both archives are OCI layouts (`image-layout.md`). Docker's also has a `manifest.json`, which old
versions of `docker load` and `podman load` need. Members are sorted and have no times.
"""

from __future__ import annotations

import hashlib
import os
import stat
from typing import TYPE_CHECKING

from lamina.base import oci
from lamina.base.errors import Corrupt, from_os_error
from lamina.base.gojson import encode
from lamina.base.json_document import load_json_object
from lamina.base.reference import parse_reference
from lamina.layers.entry import Entry
from lamina.layers.writer import END, header, padding

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Sequence

    from lamina.base.digest import Digest
    from lamina.base.oci import Descriptor
    from lamina.exporters.contract import Artifact, BlobReader
    from lamina.exporters.file_sink import ByteSink
    from lamina.system.cancel import Cancellation

_CHUNK = 1 << 20
_LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'


def write_archive(
    artifact: Artifact,
    blobs: BlobReader,
    sink: ByteSink,
    cancel: Cancellation,
    *,
    docker: bool,
    only: Container[Digest] | None = None,
) -> None:
    """Write the tar of one artifact (`write_archives`)."""
    write_archives((artifact,), blobs, sink, cancel, docker=docker, only=only)


def write_archives(
    artifacts: Sequence[Artifact],
    blobs: BlobReader,
    sink: ByteSink,
    cancel: Cancellation,
    *,
    docker: bool,
    only: Container[Digest] | None = None,
) -> None:
    """Write a tar of several artifacts, and verify every layer.

    With `only`, layers that are not in it are left out, because the reader has them.

    Raises NotFound, Corrupt, Cancelled, and the errors of the sink.
    """
    entries = [entry for artifact in artifacts for entry in index_entries(artifact)]
    documents: dict[str, tuple[int, bytes]] = {
        "oci-layout": (0o444, _LAYOUT),
        "index.json": (0o644, _index(entries)),
    }
    for artifact in artifacts:
        for document in artifact.documents:
            documents[_path(document.descriptor.digest)] = (0o444, document.data)
    if docker:
        documents["manifest.json"] = (0o644, encode(list(map(_docker_entry, artifacts))))
    layers = {
        _path(layer.digest): layer
        for artifact in artifacts
        for layer in artifact.layers()
        if only is None or layer.digest in only
    }
    folders = {"blobs"} | {os.path.dirname(path) for path in (*documents, *layers)} - {""}
    for path in sorted({*folders, *documents, *layers}):
        cancel.check()
        if path in folders:
            sink.write(header(Entry(path, stat.S_IFDIR | 0o755)))
        elif path in documents:
            mode, data = documents[path]
            sink.write(header(Entry(path, stat.S_IFREG | mode, size=len(data))))
            sink.write(data + padding(len(data)))
        else:
            layer = layers[path]
            sink.write(header(Entry(path, stat.S_IFREG | 0o444, size=layer.size)))
            copy_blob(layer, blobs, sink.write, cancel)
            sink.write(padding(layer.size))
    sink.write(END)


def write_layout(artifact: Artifact, blobs: BlobReader, folder: str, cancel: Cancellation) -> None:
    """Add the image or index to the OCI layout at `folder`, which is created if it is missing.

    An entry of the index with the same name is replaced, all others stay. Raises as `write_archive`
    does, and PermissionDenied, Exhausted.
    """
    try:
        for layer in artifact.layers():
            _place(folder, layer.digest, layer.size, cancel, _layer_copier(layer, blobs, cancel))
        for document in artifact.documents:
            data = document.data
            _place(folder, document.descriptor.digest, len(data), cancel, _writer_of(data))
        _add_to_index(folder, index_entries(artifact))
    except OSError as error:
        raise from_os_error(error, "write the OCI layout") from error


def name_in_layout(folder: str, target: Descriptor, names: Sequence[str]) -> None:
    """Name an image whose blobs are already in the OCI layout. Raises as `write_layout` does."""
    try:
        _add_to_index(folder, _entries(target, names))
    except OSError as error:
        raise from_os_error(error, "write the OCI layout") from error


def _add_to_index(folder: str, new: list[Descriptor]) -> None:
    _replace(os.path.join(folder, "oci-layout"), _writer_of(_LAYOUT))
    index_path = os.path.join(folder, "index.json")
    taken = {_entry_name(entry) for entry in new}
    kept = [entry for entry in _existing(index_path) if _entry_name(entry) not in taken]
    _replace(index_path, _writer_of(_index([*kept, *new])))


def dated(artifact: Artifact) -> Artifact:
    """The artifact, with its creation time in the descriptor."""
    annotations = dict(artifact.target.annotations)
    annotations.setdefault(oci.ANNOTATION_CREATED, _whole_seconds(artifact.images[0].created))
    target = artifact.target._replace(annotations=tuple(annotations.items()))
    return artifact._replace(target=target)


def index_entries(artifact: Artifact) -> list[Descriptor]:
    """The artifact's entries in `index.json`: one for each name, or a single one without a name."""
    return _entries(dated(artifact).target, artifact.names)


def _entries(target: Descriptor, names: Sequence[str]) -> list[Descriptor]:
    annotations = dict(target.annotations)
    entries = []
    for name in names:
        reference = parse_reference(name)
        named = {
            **annotations,
            oci.ANNOTATION_IMAGE_NAME: name,
            # Only the tag: readers address images in a layout by it.
            oci.ANNOTATION_REF_NAME: reference.tag or name,
        }
        entries.append(target._replace(annotations=tuple(sorted(named.items()))))
    return entries or [target._replace(annotations=tuple(sorted(annotations.items())))]


def copy_blob(
    descriptor: Descriptor,
    blobs: BlobReader,
    write: Callable[[bytes], object],
    cancel: Cancellation,
) -> None:
    """Copy a blob, checking its size and digest. Raises NotFound, Corrupt, Cancelled."""
    hashed = hashlib.new(descriptor.digest.algorithm)
    size = 0
    with blobs.open(descriptor.digest) as file:
        while chunk := file.read(_CHUNK):
            cancel.check()
            size += len(chunk)
            if size > descriptor.size:
                break
            hashed.update(chunk)
            write(chunk)
    if size != descriptor.size or hashed.hexdigest() != descriptor.digest.hex:
        raise Corrupt(
            f"blob {descriptor.digest} in the store does not match its digest",
            hint="`lamina prune --all`, then build again",
        )


def _index(entries: list[Descriptor]) -> bytes:
    return encode(oci.Index(oci.OCI_INDEX, tuple(entries)).to_json())


def _entry_name(entry: Descriptor) -> str:
    """The identity of an entry of an index: its name, else its digest."""
    return dict(entry.annotations).get(oci.ANNOTATION_REF_NAME) or entry.digest


def _docker_entry(artifact: Artifact) -> dict[str, object]:
    """The entry of `manifest.json`, which all versions of `docker load` read. For an index, that of
    its first image."""
    image = artifact.images[0]
    names = [parse_reference(name).familiar for name in artifact.names]
    return {
        "Config": _path(image.config_descriptor.digest),
        "RepoTags": names or None,
        "Layers": [_path(layer.digest) for layer in image.layers],
    }


def _path(digest: Digest) -> str:
    return f"blobs/{digest.algorithm}/{digest.hex}"


def _whole_seconds(text: str) -> str:
    """An RFC 3339 time without its fraction."""
    head, dot, tail = text.partition(".")
    return head + tail.lstrip("0123456789") if dot else text


def _existing(path: str) -> list[Descriptor]:
    try:
        with open(path, "rb") as file:
            data = file.read()
    except FileNotFoundError:
        return []
    document = load_json_object(data, path)
    return [oci.descriptor_from_json(entry) for entry in document.get("manifests") or ()]


def _place(
    folder: str,
    digest: Digest,
    size: int,
    cancel: Cancellation,
    fill: Callable[[Callable[[bytes], object]], None],
) -> None:
    """Write a blob of a layout, unless it already exists in full size."""
    cancel.check()
    path = os.path.join(folder, _path(digest))
    try:
        if os.stat(path).st_size == size:
            return
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), exist_ok=True)
    _replace(path, fill)


def _replace(path: str, fill: Callable[[Callable[[bytes], object]], None]) -> None:
    part = f"{path}.{os.urandom(4).hex()}.part"
    try:
        with open(part, "xb") as file:
            fill(file.write)
        os.rename(part, path)
    except BaseException:
        if os.path.lexists(part):
            os.unlink(part)
        raise


def _layer_copier(
    layer: Descriptor, blobs: BlobReader, cancel: Cancellation
) -> Callable[[Callable[[bytes], object]], None]:
    return lambda write: copy_blob(layer, blobs, write, cancel)


def _writer_of(data: bytes) -> Callable[[Callable[[bytes], object]], None]:
    def fill(write: Callable[[bytes], object]) -> None:
        write(data)

    return fill

"""Images in tar archives: of Docker (`docker save`), or OCI layouts. Read in place.

In a plain archive, members are read at their offsets. Of a compressed archive, each is found by
decompressing from the start again.
"""

from __future__ import annotations

import posixpath
import re
import stat
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from lamina.base.digest import digest_of
from lamina.base.errors import (
    Corrupt,
    InvalidInput,
    LaminaError,
    NotFound,
    Unsupported,
    from_os_error,
)
from lamina.base.json_document import items, load_json, load_json_object, members, text, texts
from lamina.base.named_tuple import NamedTuple
from lamina.base.oci import (
    ANNOTATION_IMAGE_NAME,
    ANNOTATION_REF_NAME,
    DOCKER_CONFIG,
    DOCKER_LAYER,
    DOCKER_MANIFEST,
    OCI_INDEX,
    Descriptor,
    Index,
    Manifest,
    diff_ids_of,
    parse_manifest,
)
from lamina.base.reference import parse_reference
from lamina.imagediff.blob import read_document
from lamina.imagediff.image import check_platform, image_of, load_image
from lamina.layers.decompression import decompressed
from lamina.layers.folders import clean_path
from lamina.layers.reader import TarReader
from lamina.system.regular import open_regular

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from lamina.base.digest import Digest
    from lamina.base.platform import Platform
    from lamina.imagediff.image import Image
    from lamina.layers.entry import Entry
    from lamina.layers.reader import ByteReader
    from lamina.system.cancel import Cancellation

_CHUNK = 1 << 18
_DOCUMENT_LIMIT = 16 << 20
_MAX_MEMBERS = 100_000
_MAX_LINKS = 8
_USTAR, _USTAR_AT = b"ustar", 257
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")
_T = TypeVar("_T")


class _Member(NamedTuple):
    """`offset` is where the content begins in the decompressed archive; `link` the path that a link
    leads to, "" for a file; `sparse` whether the archive lacks holes of the content."""

    offset: int
    size: int
    link: str = ""
    sparse: bool = False


class _Counting:
    """Counts the bytes that are read of a stream."""

    def __init__(self, stream: ByteReader) -> None:
        self._stream = stream
        self.count = 0

    def read(self, size: int, /) -> bytes:
        data = self._stream.read(size)
        self.count += len(data)
        return data


class Archive:
    """The files of an archive by path."""

    def __init__(self, path: str, cancel: Cancellation) -> None:
        """Raises NotFound, PermissionDenied, InvalidInput (no regular file), Corrupt, Cancelled."""
        self.path = path
        self._members: dict[str, _Member] = {}
        try:
            with open(open_regular(path, follow=True), "rb") as file:
                file.seek(_USTAR_AT)
                self._plain = file.read(len(_USTAR)) == _USTAR
                file.seek(0)
                stream = _Counting(decompressed(file))
                reader = TarReader(stream)
                for entry in reader:
                    cancel.check()
                    member = _Member(
                        stream.count,
                        entry.size,
                        _link_path(entry),
                        reader.stored_size != entry.size,
                    )
                    if member.link or entry.kind == stat.S_IFREG:
                        self._members[clean_path(entry.path, "archive")] = member
                    if len(self._members) > _MAX_MEMBERS:
                        raise Corrupt(f"it has more than {_MAX_MEMBERS} files")
        except OSError as error:
            raise from_os_error(error, "read") from error
        except Corrupt as error:
            raise error.with_context(
                reason=f"{path}: {error.reason}",
                hint="an image archive is made by `docker save`, `podman save`, skopeo or"
                " `lamina build -o type=oci,dest=FILE`",
            ) from error

    def __contains__(self, path: str) -> bool:
        return path in self._members

    @property
    def is_layout(self) -> bool:
        """Whether it is an OCI layout."""
        return "index.json" in self and "oci-layout" in self

    def size(self, path: str) -> int:
        """The size of a file in bytes. Raises Corrupt if it does not exist."""
        return self._find(path).size

    def chunks(self, path: str, cancel: Cancellation) -> Iterator[bytes]:
        """The content of a file. Raises as the constructor does."""
        member = self._find(path)
        try:
            with open(open_regular(self.path, follow=True), "rb") as file:
                stream: ByteReader = file
                if self._plain:
                    file.seek(member.offset)
                else:
                    stream = decompressed(file)
                    _skip(stream, member.offset, cancel)
                left = member.size
                while left and (chunk := stream.read(min(left, _CHUNK))):
                    left -= len(chunk)
                    yield chunk
        except OSError as error:
            raise from_os_error(error, "read") from error

    def document(self, path: str, cancel: Cancellation) -> bytes:
        """A small file. Raises as the constructor does."""
        if self.size(path) > _DOCUMENT_LIMIT:
            raise Corrupt(f"{self.path}: {path} has more than {_DOCUMENT_LIMIT} bytes")
        return b"".join(self.chunks(path, cancel))

    def _find(self, path: str) -> _Member:
        wanted = clean_path(path, "archive")
        for _ in range(_MAX_LINKS):
            member = self._members.get(wanted)
            if member is None:
                break
            if not member.link:
                if member.sparse:
                    raise Unsupported(f"{self.path}: {path} is a sparse file in the archive")
                return member
            wanted = member.link
        raise Corrupt(f"{self.path} is incomplete: it has no file {path}")


class LayoutArchiveContent:
    """The blobs of an OCI layout in an archive. Implements `ImageContent`."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive

    def has(self, digest: Digest) -> bool:
        """Whether the archive has a blob."""
        return _blob_path(digest) in self._archive

    def document(self, descriptor: Descriptor, cancel: Cancellation) -> bytes:
        return read_document(self.chunks(descriptor, cancel), descriptor, cancel)

    def chunks(self, descriptor: Descriptor, cancel: Cancellation) -> Iterator[bytes]:
        return self._archive.chunks(_blob_path(descriptor.digest), cancel)


def _blob_path(digest: Digest) -> str:
    return f"blobs/{digest.algorithm}/{digest.hex}"


class DockerArchiveContent:
    """The layers of an image in Docker's archive, by diff id. Implements `ImageContent`."""

    def __init__(self, archive: Archive, paths: Mapping[Digest, str]) -> None:
        self._archive = archive
        self._paths = paths

    def document(self, descriptor: Descriptor, cancel: Cancellation) -> bytes:
        raise NotFound(f"{self._archive.path} has no manifests")

    def chunks(self, descriptor: Descriptor, cancel: Cancellation) -> Iterator[bytes]:
        return self._archive.chunks(self._paths[descriptor.digest], cancel)


def open_archive(path: str, wanted: str, platform: Platform | None, cancel: Cancellation) -> Image:
    """The image in an archive.

    Args:
        wanted: the tag or the name of one of several images; "" if there is only one.

    Raises NotFound, PermissionDenied, InvalidInput, Unsupported, Corrupt, Cancelled.
    """
    archive = Archive(path, cancel)
    try:
        if archive.is_layout:
            return _open_layout(archive, wanted, platform, cancel)
        if "manifest.json" in archive:
            return _open_docker(archive, wanted, platform, cancel)
    except LaminaError as error:
        if path in error.reason:
            raise
        raise error.with_context(reason=f"{path}: {error.reason}") from error
    raise Corrupt(
        f"{path} contains no image: it has neither manifest.json nor index.json",
        hint="a Docker archive or an OCI layout in a tar archive is expected",
    )


class DockerImage(NamedTuple):
    """An image of Docker's archive. Its layers are known by their diff ids, at `paths`."""

    manifest: Manifest
    config: bytes
    paths: tuple[str, ...]


def layout_images(
    archive: Archive, cancel: Cancellation
) -> list[tuple[tuple[str, ...], Descriptor]]:
    """The names and descriptors of the images in the index of an OCI layout. Raises Corrupt."""
    index = parse_manifest(archive.document("index.json", cancel), OCI_INDEX)
    if not isinstance(index, Index):
        raise Corrupt(f"{archive.path}: index.json is not an index")
    return [(_names(entry), entry) for entry in index.manifests]


def _open_layout(
    archive: Archive, wanted: str, platform: Platform | None, cancel: Cancellation
) -> Image:
    target = _pick(archive, layout_images(archive, cancel), wanted)
    return load_image(archive.path, target, LayoutArchiveContent(archive), platform, cancel)


def _names(entry: Descriptor) -> tuple[str, ...]:
    annotations = dict(entry.annotations)
    names = (annotations.get(key, "") for key in (ANNOTATION_IMAGE_NAME, ANNOTATION_REF_NAME))
    return tuple(filter(None, names))


def docker_images(
    archive: Archive, cancel: Cancellation
) -> list[tuple[tuple[str, ...], Callable[[], DockerImage]]]:
    """The names of the images in Docker's archive, and functions that read them. Raises Corrupt."""
    data = archive.document("manifest.json", cancel)
    try:
        entries = [members(entry) for entry in items(load_json(data, "manifest.json"))]
        return [
            (
                texts(entry.get("RepoTags")),
                partial(
                    _docker_image,
                    archive,
                    text(entry.get("Config")),
                    texts(entry.get("Layers")),
                    cancel,
                ),
            )
            for entry in entries
        ]
    except ValueError as error:
        raise Corrupt(f"{archive.path}: malformed manifest.json: {error}") from error


def _open_docker(
    archive: Archive, wanted: str, platform: Platform | None, cancel: Cancellation
) -> Image:
    manifest, config, paths = _pick(archive, docker_images(archive, cancel), wanted)()
    digests = (layer.digest for layer in manifest.layers)
    content = DockerArchiveContent(archive, dict(zip(digests, paths, strict=True)))
    image = image_of(archive.path, None, manifest, config, content)
    if platform is not None:
        check_platform(image, platform)
    return image


def _docker_image(
    archive: Archive, config_path: str, paths: tuple[str, ...], cancel: Cancellation
) -> DockerImage:
    config = archive.document(config_path, cancel)
    digest = digest_of(config)
    name = config_path.rpartition("/")[2].removesuffix(".json")
    if _SHA256.match(name) and name != digest.hex:
        raise Corrupt(f"{archive.path}: {config_path} does not match its digest")
    diff_ids = diff_ids_of(load_json_object(config, "image configuration"))
    if len(diff_ids) != len(paths):
        raise Corrupt(
            f"{archive.path} has {len(paths)} layers, but the image's configuration lists"
            f" {len(diff_ids)}"
        )
    layers = tuple(
        Descriptor(DOCKER_LAYER, diff_id, archive.size(path))
        for diff_id, path in zip(diff_ids, paths, strict=True)
    )
    manifest = Manifest(DOCKER_MANIFEST, Descriptor(DOCKER_CONFIG, digest, len(config)), layers)
    return DockerImage(manifest, config, paths)


def _pick(archive: Archive, named: Sequence[tuple[Sequence[str], _T]], wanted: str) -> _T:
    """The only image, or the one with a name or tag."""
    if not named:
        raise Corrupt(f"{archive.path} contains no image")
    if not wanted and len(named) == 1:
        return named[0][1]
    offered = ", ".join(sorted({name for names, _ in named for name in names}))
    hint = f"it has: {offered}" if offered else "its images have no names"
    if not wanted:
        raise InvalidInput(
            f"{archive.path} contains {len(named)} images; name one: {archive.path}:NAME", hint=hint
        )
    full = _full(wanted)
    for names, image in named:
        for name in names:
            if wanted == name or full == _full(name) or name.rpartition(":")[2] == wanted:
                return image
    raise NotFound(f"{archive.path} has no image {wanted}", hint=hint)


def _full(name: str) -> str:
    try:
        return str(parse_reference(name))
    except InvalidInput:
        return name


def _link_path(entry: Entry) -> str:
    """The path in the archive that a link points to."""
    if entry.hard_link:
        return clean_path(entry.hard_link, "archive")
    if entry.kind != stat.S_IFLNK:
        return ""
    parent = clean_path(entry.path, "archive").rpartition("/")[0]
    joined = posixpath.normpath(posixpath.join("/", parent, entry.link))
    return joined.lstrip("/") or "."


def _skip(stream: ByteReader, count: int, cancel: Cancellation) -> None:
    while count and (chunk := stream.read(min(count, _CHUNK))):
        cancel.check()
        count -= len(chunk)

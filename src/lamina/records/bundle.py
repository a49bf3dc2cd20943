"""Bundles of build records: an OCI layout in a compressed archive.

The format is that of `docker buildx history export`. Each record is a manifest. Its configuration
is the record as buildx writes it in JSON, and its layers are what the record refers to: the log,
the trace, errors, attestations, documents of images. lamina adds further layers: the encoded
record, the definitions, and the manifests of the contents that steps read. A bundle without them
cannot be imported.
"""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import zlib
from typing import IO, TYPE_CHECKING, Any, Protocol, cast

from lamina.api.history import SCHEMA, BuildHistoryRecord
from lamina.base.digest import digest_of, parse_digest
from lamina.base.errors import AlreadyExists, Corrupt, InvalidInput, LaminaError, Unsupported
from lamina.base.json_document import load_json_object
from lamina.base.named_tuple import NamedTuple
from lamina.records.record_json import record_json
from lamina.records.table import References, own_blobs
from lamina.stores.contents import ContentEntry, ContentTable
from lamina.wire.protobuf import decode, encode

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lamina.records.table import RecordTable
    from lamina.stores.store import Store

_INDEX = "application/vnd.oci.image.index.v1+json"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_RECORD_JSON = "application/vnd.buildkit.historyrecord.v0"
_RECORD = "application/vnd.lamina.record.v0+protobuf"
_CONTENTS = "application/vnd.lamina.contents.v0+json"
_BLOB = "application/octet-stream"
_REFERENCE = "vnd.buildkit.history.reference"
_BLOB_LIMIT = 256 << 20
_TOTAL_LIMIT = 1 << 30
_MEMBERS = 100_000
_HEADERS = 128 << 20  # bytes of the headers of that many files
_FOLDER = "blobs/sha256/"


class _Bundle:
    """A bundle that is being written or was read: blobs by digest."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}

    def add(self, media_type: str, data: bytes) -> dict[str, Any]:
        """Add a blob. Returns its descriptor."""
        digest = digest_of(data)
        self.blobs[digest] = data
        return {"mediaType": media_type, "digest": digest, "size": len(data)}

    def add_json(self, media_type: str, document: Any) -> dict[str, Any]:
        return self.add(media_type, json.dumps(document, indent=2).encode())

    def blob(self, descriptor: Any, what: str) -> bytes:
        """A blob. Raises Corrupt if it is not in the bundle."""
        digest = descriptor.get("digest") if isinstance(descriptor, dict) else None
        data = self.blobs.get(digest) if isinstance(digest, str) else None
        if data is None:
            raise Corrupt(f"the bundle lacks the blob {digest} of {what}")
        return data


class _Unpacked:
    """The unpacked bytes of a bundle. Raises Corrupt if there are too many."""

    def __init__(self, source: IO[bytes]) -> None:
        self._file = gzip.GzipFile(fileobj=source)
        self._left = _TOTAL_LIMIT + _HEADERS

    def read(self, size: int) -> bytes:
        data = self._file.read(min(size, self._left))
        self._left -= len(data)
        if not self._left:
            raise _too_large()
        return data


def _too_large() -> Corrupt:
    return Corrupt(
        f"the bundle is too large: more than {_TOTAL_LIMIT} bytes, {_BLOB_LIMIT} in one file, or"
        f" {_MEMBERS} files"
    )


class _Record(NamedTuple):
    record: BuildHistoryRecord
    blobs: tuple[bytes, ...]
    contents: tuple[tuple[str, tuple[ContentEntry, ...]], ...]


class ExportedBuilds(Protocol):
    """The source of the records for a bundle. Methods raise members of `lamina.base.errors`."""

    def record(self, ref: str) -> BuildHistoryRecord: ...

    def blob(self, digest: str) -> bytes: ...

    def references(self, record: BuildHistoryRecord) -> References:
        """The blobs and manifests that a record refers to, except lost manifests."""
        ...

    def content_entries(self, content: str) -> Iterable[ContentEntry]:
        """A manifest's entries with full paths."""
        ...


def export_bundle(source: ExportedBuilds, refs: Sequence[str], out: IO[bytes]) -> None:
    """Write records of builds that have ended. Raises InvalidInput, NotFound, OSError."""
    bundle = _Bundle()
    manifests = []
    for ref in refs:
        record = source.record(ref)
        if record.completed_at is None:
            raise InvalidInput(
                f"build {ref} is running: it cannot be exported", hint="wait for it to end"
            )
        manifests.append(_add_record(bundle, source, record))
    top = manifests[0]
    if len(manifests) > 1:
        listed = [
            {**manifest, "annotations": {_REFERENCE: ref}}
            for manifest, ref in zip(manifests, refs, strict=True)
        ]
        index = {"schemaVersion": 2, "mediaType": _INDEX, "manifests": listed}
        top = bundle.add_json(_INDEX, index)
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        _write(archive, "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
        index = {"schemaVersion": 2, "manifests": [top]}
        _write(archive, "index.json", json.dumps(index).encode())
        for digest, data in sorted(bundle.blobs.items()):
            _write(archive, _FOLDER + digest.partition(":")[2], data)


def import_bundle(store: Store, table: RecordTable, source: IO[bytes]) -> list[str]:
    """Add the records of a bundle. Returns their refs; nothing is added if one is invalid.

    Raises Corrupt, Unsupported (not a bundle of lamina), AlreadyExists.
    """
    records = _read_records(_read(source))
    for item in records:
        if table.row(item.record.ref) is not None:
            raise AlreadyExists(
                f"build {item.record.ref} is recorded already",
                hint=f"remove it first: lamina history rm {item.record.ref}",
            )
    contents = ContentTable(store.database)
    with store.shared():  # no blob is removed meanwhile
        for record, blobs, manifests in records:
            digests = frozenset(map(store.blobs.put, blobs))
            for content, entries in manifests:
                if not contents.has(content):
                    contents.save(content, entries)
            names = frozenset(content for content, _ in manifests)
            table.put(record, References(frozenset(map(str, digests)), names))
    return [item.record.ref for item in records]


def _add_record(
    bundle: _Bundle, source: ExportedBuilds, record: BuildHistoryRecord
) -> dict[str, Any]:
    kinds = {target.digest: target.media_type for target in own_blobs(record)}
    references = source.references(record)
    layers = [
        bundle.add(kinds.get(digest, _BLOB), source.blob(digest))
        for digest in sorted(references.blobs)
    ]
    manifests = {
        name: [list(entry) for entry in source.content_entries(name)]
        for name in sorted(references.contents)
    }
    layers.append(bundle.add(_RECORD, encode(record, SCHEMA)))
    layers.append(bundle.add(_CONTENTS, json.dumps(manifests).encode()))
    manifest = {
        "schemaVersion": 2,
        "mediaType": _MANIFEST,
        "config": bundle.add_json(_RECORD_JSON, record_json(record)),
        "layers": layers,
    }
    return bundle.add_json(_MANIFEST, manifest)


def _write(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    archive.addfile(member, io.BytesIO(data))


def _read(source: IO[bytes]) -> tuple[_Bundle, bytes]:
    """The blobs of an archive, checked against their names, and `index.json`."""
    bundle = _Bundle()
    index = b""
    total = count = 0
    try:
        unpacked = cast("IO[bytes]", _Unpacked(source))  # a stream is only read
        with tarfile.open(fileobj=unpacked, mode="r|") as archive:
            for member in archive:
                count += 1
                total += member.size
                if member.size > _BLOB_LIMIT or total > _TOTAL_LIMIT or count > _MEMBERS:
                    raise _too_large()
                file = archive.extractfile(member) if member.isreg() else None
                if file is None:
                    continue
                if member.name == "index.json":
                    index = file.read()
                elif member.name.startswith(_FOLDER):
                    data = file.read()
                    name = member.name.removeprefix(_FOLDER)
                    if digest_of(data) != f"sha256:{name}":
                        raise Corrupt(f"the blob {name} of the bundle does not match its digest")
                    bundle.add(_BLOB, data)
    except (tarfile.TarError, EOFError, OSError, zlib.error, ValueError) as error:
        raise Corrupt(f"the file is not a bundle of build records: {error}") from None
    if not index:
        raise Corrupt("the file is not a bundle of build records: it has no index.json")
    return bundle, index


def _read_records(read: tuple[_Bundle, bytes]) -> list[_Record]:
    bundle, data = read
    records = []
    for top in _list(load_json_object(data, "index.json"), "manifests"):
        document = load_json_object(bundle.blob(top, "the index"), "manifest")
        manifests = [document]
        if "manifests" in document:
            manifests = [
                load_json_object(bundle.blob(item, "the index"), "manifest")
                for item in _list(document, "manifests")
            ]
        records += [_read_record(bundle, manifest) for manifest in manifests]
    if not records:
        raise Corrupt("the bundle has no records")
    if len({item.record.ref for item in records}) != len(records):
        raise Corrupt("the bundle has two records of one build")
    return records


def _read_record(bundle: _Bundle, manifest: dict[str, Any]) -> _Record:
    layers = [layer for layer in _list(manifest, "layers") if isinstance(layer, dict)]
    encoded = [layer for layer in layers if layer.get("mediaType") == _RECORD]
    if len(encoded) != 1:
        raise Unsupported(
            "the bundle was not made by lamina: its records have no steps or cache keys",
            hint="`lamina history import` reads what `lamina history export` writes",
        )
    record: BuildHistoryRecord = decode(
        bundle.blob(encoded[0], "a record"), BuildHistoryRecord, SCHEMA
    )
    if not record.ref or record.completed_at is None or record.created_at is None:
        raise Corrupt("a record of the bundle is not complete")
    blobs = []
    contents: list[tuple[str, tuple[ContentEntry, ...]]] = []
    for layer in layers:
        data = bundle.blob(layer, f"build {record.ref}")
        kind = layer.get("mediaType")
        if kind == _CONTENTS:
            contents += _read_contents(data)
        elif kind != _RECORD:
            blobs.append(data)
    _check(record, frozenset(map(digest_of, blobs)))
    return _Record(record, tuple(blobs), tuple(contents))


def _check(record: BuildHistoryRecord, present: frozenset[str]) -> None:
    """Check that the bundle contains the required blobs of a record."""
    needed = own_blobs(record)
    for result in (record.result, *(result for _, result in record.results)):
        if result is not None:
            needed += result.attestations
            images = [entry.descriptor for entry in result.results]
            for image in (result.result_deprecated, *images):
                if image is not None:
                    _check_digest(image.digest)
    for target in needed:
        if target.digest not in present:
            raise Corrupt(f"the bundle lacks the blob {target.digest} of build {record.ref}")


def _check_digest(digest: str) -> None:
    try:
        parse_digest(digest)
    except LaminaError:
        raise Corrupt(f"a record of the bundle has the invalid digest {digest[:80]}") from None


def _read_contents(data: bytes) -> Iterable[tuple[str, tuple[ContentEntry, ...]]]:
    document = load_json_object(data, "manifests of contents")
    for name, entries in document.items():
        try:
            content, _, selector = name.partition(" ")  # see `manifest_name`
            for digest in filter(None, (content, selector)):
                parse_digest(digest)
            yield name, tuple(map(_entry, entries))
        except (LaminaError, TypeError, ValueError):
            raise Corrupt(f"the manifest of the content {name[:80]} is malformed") from None


def _entry(fields: Any) -> ContentEntry:
    entry = ContentEntry(*fields)
    if [type(value) for value in entry] != [type(value) for value in ContentEntry("")]:
        raise ValueError
    return entry._replace(below="")


def _list(document: dict[str, Any], key: str) -> list[Any]:
    found = document.get(key)
    if not isinstance(found, list):
        raise Corrupt(f"the bundle is malformed: {key} is not a list")
    return found

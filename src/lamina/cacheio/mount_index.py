"""The format of an exported cache mount: an index of its files, and packs of their chunks.

The manifest's config is the index (JSON, zstd). Its layers are the packs: each is the zstd of about
4 MiB of chunks. A later export refers to the packs of the previous one again, and adds packs for
new chunks.
"""

from __future__ import annotations

import json
import re
import stat
from hashlib import sha256
from typing import TYPE_CHECKING

from lamina.base import oci
from lamina.base.digest import digest_of
from lamina.base.errors import Corrupt, Exhausted
from lamina.base.json_document import items, members, text, whole_number
from lamina.base.named_tuple import NamedTuple
from lamina.base.oci import Descriptor

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lamina.base.digest import Digest

INDEX_TYPE = "application/vnd.lamina.cachemount.v1+json.zstd"
PACK_TYPE = "application/vnd.lamina.cachepack.v1+zstd"
CLAIMS_IN_IT = "io.lamina.cachemount.claims"
"""The annotation of a manifest with the digests of the claims (`mount_publish`) that its index
includes."""
PACK_LIMIT = 64 << 20
"""The maximum decompressed size of a pack in bytes; lamina makes them of about 4 MiB."""
_LIMIT = 64 << 20
"""The maximum size of an index in bytes, enough for 300,000 files."""
_MIN_SPACING = ((b"[", 12), (b"{", 12), (b'"', 6), (b'":', 1 << 20))
"""The minimum average distance of values in bytes, as in lamina's indexes. Otherwise 64 MiB could
expand to gigabytes of objects."""
_FEW = 1 << 16
_HEX = re.compile("[0-9a-f]{64}")
_HIGHEST_ID = (1 << 32) - 2
_LATEST = 1_000_000_000 << 40  # nanoseconds since 1970: 35,000 years
_PATH_MAX = 4095


class Chunk(NamedTuple):
    """The location of a chunk with a digest (hex): its pack, and the position in the decompressed
    pack."""

    digest: str
    pack: int
    offset: int
    size: int


class MountEntry(NamedTuple):
    """A file, directory or link. `path` is relative, "" for the mount itself; `chunks` are
    indexes."""

    path: str
    mode: int
    uid: int
    gid: int
    mtime_ns: int
    chunks: tuple[int, ...] = ()
    link: str = ""


class MountIndex(NamedTuple):
    """The index of a mount; `packs` are in the order of the manifest's layers."""

    name: str
    packs: tuple[Descriptor, ...]
    chunks: tuple[Chunk, ...]
    entries: tuple[MountEntry, ...]

    @property
    def size(self) -> int:
        """The size of all files in bytes."""
        return sum(self.chunks[index].size for entry in self.entries for index in entry.chunks)


def export_name(mount_id: str) -> str:
    """The name of a mount in messages: its ID in the Dockerfile, or its path."""
    return mount_id.lstrip("/")


def part_of(name: str) -> str:
    """The part of a cache for a mount."""
    return "mount-" + sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def encode_index(index: MountIndex) -> tuple[Descriptor, bytes]:
    """The index as a blob: its descriptor and its bytes. The same index gives the same bytes.

    Raises Exhausted if it is larger than `decode_index` accepts.
    """
    import zstandard

    document = {
        "mount": index.name,
        "chunks": [list(chunk) for chunk in index.chunks],
        "entries": [list(entry) for entry in index.entries],
    }
    data = json.dumps(document, separators=(",", ":")).encode()
    if len(data) > _LIMIT or _too_dense(data):
        raise Exhausted(
            f"the cache mount {index.name} has too many files to be exported:"
            f" its index would have {len(data)} bytes",
            hint="remove unneeded files from the mount, or split it into several mounts",
        )
    blob = zstandard.ZstdCompressor(level=6).compress(data)
    return Descriptor(INDEX_TYPE, digest_of(blob), len(blob)), blob


def make_manifest(
    index: MountIndex, config: Descriptor, claims: Iterable[Digest]
) -> tuple[Descriptor, bytes]:
    """The manifest of an index blob, and its descriptor. The index includes `claims`."""
    notes = ((CLAIMS_IN_IT, " ".join(sorted(claims))),) if claims else ()
    manifest = oci.Manifest(oci.OCI_MANIFEST, config, index.packs, notes)
    data = json.dumps(manifest.to_json(), separators=(",", ":")).encode()
    return Descriptor(oci.OCI_MANIFEST, digest_of(data), len(data)), data


def decode_index(blob: bytes, name: str, packs: tuple[Descriptor, ...]) -> MountIndex:
    """Decode an index blob. `packs` are the layers of its manifest. Raises Corrupt.

    A valid index is safe to restore below a directory: entries have clean relative paths, each in a
    directory of the index, and owners, modes and times that the system supports.
    """
    document = _parse(expand_zstd(blob, _LIMIT))
    try:
        found = members(document)
        chunks = tuple(_chunk(items(entry), len(packs)) for entry in items(found["chunks"]))
        entries = tuple(_entry(items(entry), chunks) for entry in items(found["entries"]))
        _check_tree(entries)
    except (KeyError, ValueError) as error:
        raise Corrupt(f"the index of the cache mount {name} is malformed: {error}") from error
    return MountIndex(name, packs, chunks, entries)


def expand_zstd(blob: bytes, limit: int) -> bytes:
    """Decompress a zstd blob. Raises Corrupt if it is malformed, or larger than `limit` bytes."""
    from io import BytesIO

    from lamina.layers.decompression import decompressed

    stream = decompressed(BytesIO(blob))
    data = bytearray()
    while piece := stream.read(min(1 << 20, limit + 1 - len(data))):
        data += piece
        if len(data) > limit:
            raise Corrupt(f"a compressed blob is larger than {limit} bytes")
    return bytes(data)


def _parse(data: bytes) -> object:
    if _too_dense(data):
        raise Corrupt("the index of a cache mount is malformed: too many values for its size")
    try:
        return json.loads(data)  # names that are not UTF-8 have lone surrogates
    except (ValueError, RecursionError) as error:
        raise Corrupt(f"the index of a cache mount is malformed: {error}") from error


def _too_dense(data: bytes) -> bool:
    return any(data.count(what) > len(data) // apart + _FEW for what, apart in _MIN_SPACING)


def _chunk(fields: list[object], packs: int) -> Chunk:
    digest, pack, offset, size = _exactly(4, fields)
    if not _HEX.fullmatch(text(digest)):
        raise ValueError(f"{digest!r} is not the digest of a chunk")
    return Chunk(
        text(digest),
        whole_number(pack, 0, packs - 1),
        whole_number(offset, 0, PACK_LIMIT),
        whole_number(size, 0, PACK_LIMIT),
    )


def _entry(fields: list[object], chunks: tuple[Chunk, ...]) -> MountEntry:
    path, mode, uid, gid, mtime_ns, parts, link = _exactly(7, fields)
    entry = MountEntry(
        _name(path),
        whole_number(mode, 0, 0o177777),
        whole_number(uid, 0, _HIGHEST_ID),
        whole_number(gid, 0, _HIGHEST_ID),
        whole_number(mtime_ns, -_LATEST, _LATEST),
        tuple(whole_number(part, 0, len(chunks) - 1) for part in items(parts)),
        _name(link),
    )
    kind = stat.S_IFMT(entry.mode)
    if kind not in (stat.S_IFDIR, stat.S_IFREG, stat.S_IFLNK):
        raise ValueError(f"{entry.path!r} is neither a file, a directory nor a link")
    if (kind != stat.S_IFREG and entry.chunks) or (kind == stat.S_IFLNK) != bool(entry.link):
        raise ValueError(f"{entry.path!r} is incomplete")
    return entry


def _exactly(count: int, fields: list[object]) -> list[object]:
    if len(fields) != count:
        raise ValueError(f"{len(fields)} fields instead of {count}")
    return fields


def _name(value: object) -> str:
    """A path, or the target of a link: bytes that are valid in a path."""
    name = text(value)
    if "\0" in name or len(name.encode("utf-8", "surrogateescape")) > _PATH_MAX:
        raise ValueError(f"{name[:80]!r} is not a path")
    return name


def _check_tree(entries: tuple[MountEntry, ...]) -> None:
    """Every entry is in a directory of the index, so nothing is written through a link."""
    folders = {entry.path for entry in entries if stat.S_ISDIR(entry.mode)} | {""}
    seen: set[str] = set()
    for entry in entries:
        if entry.path in seen:
            raise ValueError(f"{entry.path!r} twice")
        seen.add(entry.path)
        if not entry.path:
            if not stat.S_ISDIR(entry.mode):
                raise ValueError("the mount itself is not a directory")
            continue
        parent, _, _ = entry.path.rpartition("/")
        parts = entry.path.split("/")
        if parent not in folders or any(part in ("", ".", "..") for part in parts):
            raise ValueError(f"{entry.path!r} is not a path in the mount")

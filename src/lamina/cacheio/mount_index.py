"""What a travelling cache mount is: an index of its files, and packs of their chunks.

The manifest's config is the index (JSON, zstd). Its layers are the packs: each the zstd of some
4 MiB of chunks, one after the other. A later export names the packs of the one before it again,
and adds packs of what is new.
"""

from __future__ import annotations

import json
import stat
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

from lamina.base import oci
from lamina.base.digest import digest_of
from lamina.base.errors import Corrupt
from lamina.base.oci import Descriptor

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lamina.base.digest import Digest

INDEX_TYPE = "application/vnd.lamina.cachemount.v1+json.zstd"
PACK_TYPE = "application/vnd.lamina.cachepack.v1+zstd"
CLAIMS_IN_IT = "io.lamina.cachemount.claims"
"""A manifest's annotation: digests of claims (`mount_publish`) that its index has taken in."""
_LIMIT = 1 << 30


class Chunk(NamedTuple):
    """Where bytes of a digest (hex) are: which pack, and where in it once it is inflated."""

    digest: str
    pack: int
    offset: int
    size: int


class MountEntry(NamedTuple):
    """A file, folder or link. `path` is relative, "" the mount itself; `chunks` are indexes."""

    path: str
    mode: int
    uid: int
    gid: int
    mtime_ns: int
    chunks: tuple[int, ...] = ()
    link: str = ""


class MountIndex(NamedTuple):
    """All of a mount; `packs` are in the order of the manifest's layers."""

    name: str
    packs: tuple[Descriptor, ...]
    chunks: tuple[Chunk, ...]
    entries: tuple[MountEntry, ...]

    @property
    def size(self) -> int:
        """Bytes of files."""
        return sum(self.chunks[index].size for entry in self.entries for index in entry.chunks)


def travel_name(mount_id: str) -> str:
    """What people call a mount: its id in the Dockerfile, or its path."""
    return mount_id.lstrip("/")


def part_of(name: str) -> str:
    """The part of a cache that a mount is."""
    return "mount-" + sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def encode_index(index: MountIndex) -> tuple[Descriptor, bytes]:
    """The index as a blob: its descriptor and its bytes. The same index gives the same bytes."""
    import zstandard

    document = {
        "mount": index.name,
        "chunks": [list(chunk) for chunk in index.chunks],
        "entries": [list(entry) for entry in index.entries],
    }
    text = json.dumps(document, separators=(",", ":")).encode()
    blob = zstandard.ZstdCompressor(level=6).compress(text)
    return Descriptor(INDEX_TYPE, digest_of(blob), len(blob)), blob


def make_manifest(
    index: MountIndex, config: Descriptor, claims: Iterable[Digest]
) -> tuple[Descriptor, bytes]:
    """The manifest over an index blob, and its descriptor; `claims` are those that are in it."""
    notes = ((CLAIMS_IN_IT, " ".join(sorted(claims))),) if claims else ()
    manifest = oci.Manifest(oci.OCI_MANIFEST, config, index.packs, notes)
    data = json.dumps(manifest.to_json(), separators=(",", ":")).encode()
    return Descriptor(oci.OCI_MANIFEST, digest_of(data), len(data)), data


def decode_index(blob: bytes, name: str, packs: tuple[Descriptor, ...]) -> MountIndex:
    """Read an index blob. `packs` are its manifest's layers. Raises Corrupt."""
    import zstandard

    try:
        text = zstandard.ZstdDecompressor().decompress(blob, max_output_size=_LIMIT)
        document = json.loads(text)
        chunks = tuple(Chunk(str(d), int(p), int(o), int(s)) for d, p, o, s in document["chunks"])
        entries = tuple(
            MountEntry(str(path), int(mode), int(uid), int(gid), int(mtime), tuple(parts), link)
            for path, mode, uid, gid, mtime, parts, link in document["entries"]
        )
        if any(not 0 <= chunk.pack < len(packs) for chunk in chunks):
            raise ValueError("a chunk in no pack")
        if any(chunk.offset < 0 or chunk.size < 0 for chunk in chunks):
            raise ValueError("a chunk before its pack's start")
        if any(not 0 <= part < len(chunks) for entry in entries for part in entry.chunks):
            raise ValueError("a file of no chunk")
        _check_paths(entries)
    except (zstandard.ZstdError, ValueError, TypeError, KeyError) as error:
        raise Corrupt(f"the index of the cache mount {name} is malformed: {error}") from error
    return MountIndex(name, packs, chunks, entries)


def _check_paths(entries: tuple[MountEntry, ...]) -> None:
    """Every entry lies in a folder of the index, so nothing is written through a link."""
    folders = {entry.path for entry in entries if stat.S_ISDIR(entry.mode)} | {""}
    seen: set[str] = set()
    for entry in entries:
        if entry.path in seen:
            raise ValueError(f"{entry.path} twice")
        seen.add(entry.path)
        if not entry.path:
            continue
        parent, _, last = entry.path.rpartition("/")
        if last in ("", ".", "..") or "\0" in last or parent not in folders:
            raise ValueError(f"{entry.path!r} is not a path in the mount")
        if stat.S_IFMT(entry.mode) not in (stat.S_IFDIR, stat.S_IFREG, stat.S_IFLNK):
            raise ValueError(f"{entry.path} is neither file, folder nor link")

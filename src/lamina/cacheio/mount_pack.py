"""The packs of a mount's export: those of the last export are reused, and new chunks are packed."""

from __future__ import annotations

import threading
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING

from lamina.base.digest import digest_of
from lamina.base.oci import Descriptor
from lamina.cacheio.mount_index import PACK_TYPE, Chunk, MountIndex
from lamina.cacheio.mount_scan import pieces
from lamina.system.beneath import Beneath
from lamina.system.threads import WorkerPool

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lamina.cacheio.mount_scan import Scanned
    from lamina.stores.blobs import BlobStore
    from lamina.system.cancel import Cancellation

_PACK = 4 << 20
_LEVEL = 3
_SIDE_BY_SIDE = 2


class Packer:
    """Converts scanned entries to an index, and packs chunks that the last export does not
    contain."""

    def __init__(self, folder: str, blobs: BlobStore, cancel: Cancellation) -> None:
        self._folder = folder
        self._blobs = blobs
        self._cancel = cancel
        self._slots = threading.Semaphore(2 * _SIDE_BY_SIDE)
        self._failures: list[BaseException] = []

    def pack(
        self, name: str, scanned: list[Scanned], theirs: list[Scanned], last: MountIndex | None
    ) -> MountIndex:
        """The index of the scanned entries, and of `theirs`, which only packs of `last` contain."""
        wanted = {digest for item in (*scanned, *theirs) for digest, _ in item.digests}
        packs, positions = _kept(
            last, wanted, {digest for item in theirs for digest, _ in item.digests}
        )
        packs_by_number: dict[int, Descriptor] = dict(enumerate(packs))
        entries: list[tuple[Scanned, bool]] = []
        batch = bytearray()
        with WorkerPool(_SIDE_BY_SIDE, "pack") as pool:

            def flush() -> None:
                nonlocal batch
                if batch:
                    self._slots.acquire()
                    number = len(packs) + flushed
                    pool.submit(partial(self._write, bytes(batch), number, packs_by_number))
                    batch = bytearray()

            flushed = 0
            for item in scanned:
                self._cancel.check()
                missing = {digest for digest, _ in item.digests if digest not in positions}
                if missing:
                    for piece in self._again(item):
                        digest = sha256(piece).hexdigest()
                        if digest in missing and digest not in positions:
                            if len(batch) + len(piece) > _PACK and batch:
                                flush()
                                flushed += 1
                            positions[digest] = (len(packs) + flushed, len(batch), len(piece))
                            batch += piece
                whole = all(digest in positions for digest, _ in item.digests)
                entries.append((item, whole))  # otherwise it changed since it was scanned
            flush()
        if self._failures:
            raise self._failures[0]
        ordered = [packs_by_number[number] for number in sorted(packs_by_number)]
        found = [item for item, whole in entries if whole]
        return make_index(name, [*found, *theirs], positions, ordered)

    def _again(self, item: Scanned) -> Iterator[memoryview | bytes]:
        parent, _, name = item.entry.path.rpartition("/")
        try:
            with Beneath(self._folder) as beneath:
                yield from pieces(name, dir_fd=beneath.directory(parent))
        except (FileNotFoundError, NotADirectoryError):
            return

    def _write(self, data: bytes, number: int, packs: dict[int, Descriptor]) -> None:
        import zstandard

        try:
            blob = zstandard.ZstdCompressor(level=_LEVEL).compress(data)
            digest = digest_of(blob)
            self._blobs.put(blob)
            packs[number] = Descriptor(PACK_TYPE, digest, len(blob))
        except BaseException as error:
            self._failures.append(error)
        finally:
            self._slots.release()


def _kept(
    last: MountIndex | None, wanted: set[str], pinned: set[str]
) -> tuple[list[Descriptor], dict[str, tuple[int, int, int]]]:
    """The old packs to keep: those of which more than half is still needed, and those with chunks
    that are not available elsewhere."""
    if last is None:
        return [], {}
    live: dict[int, int] = {}
    total: dict[int, int] = {}
    for chunk in last.chunks:
        total[chunk.pack] = max(total.get(chunk.pack, 0), chunk.offset + chunk.size)
        if chunk.digest in wanted:
            live[chunk.pack] = live.get(chunk.pack, 0) + chunk.size
        if chunk.digest in pinned:
            live[chunk.pack] = live.get(chunk.pack, 0) + (1 << 60)
    kept = [number for number in sorted(live) if 2 * live[number] > total[number]]
    renumbered = {number: place for place, number in enumerate(kept)}
    positions = {
        chunk.digest: (renumbered[chunk.pack], chunk.offset, chunk.size)
        for chunk in last.chunks
        if chunk.pack in renumbered and chunk.digest in wanted
    }
    return [last.packs[number] for number in kept], positions


def make_index(
    name: str,
    scanned: list[Scanned],
    positions: dict[str, tuple[int, int, int]],
    packs: list[Descriptor],
) -> MountIndex:
    """Make an index. The same entries give the same index, whatever their order."""
    numbers: dict[str, int] = {}
    listed: list[Chunk] = []
    entries = []
    for item in sorted(scanned, key=lambda item: item.entry.path):
        parts = []
        for digest, _ in item.digests:
            if digest not in numbers:
                numbers[digest] = len(listed)
                listed.append(Chunk(digest, *positions[digest]))
            parts.append(numbers[digest])
        entries.append(item.entry._replace(chunks=tuple(parts)))
    return MountIndex(name, tuple(packs), tuple(listed), tuple(entries))

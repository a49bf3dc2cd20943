"""Cache mounts to a backend: only chunks that the last export does not have are sent."""

from __future__ import annotations

import os
import stat
import threading
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

from lamina.base.digest import digest_of
from lamina.base.errors import LaminaError
from lamina.base.oci import Descriptor
from lamina.cacheio.chunker import SMALL, chunks
from lamina.cacheio.mount_index import (
    PACK_TYPE,
    Chunk,
    MountEntry,
    MountIndex,
    encode_index,
    load_index,
    part_of,
)
from lamina.system.threads import WorkerPool

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lamina.base.digest import Digest
    from lamina.cacheio.backend import Backend
    from lamina.cacheio.contract import Shown
    from lamina.stores.blobs import BlobStore
    from lamina.system.cancel import Cancellation

_PACK = 4 << 20
_LEVEL = 3
_SIDE_BY_SIDE = 2
_ROUNDS = 4
_PAUSE = 0.25


class Sent(NamedTuple):
    """What an export came to: files, their bytes, and the bytes of packs that were new."""

    files: int
    size: int
    new: int


class _Scanned(NamedTuple):
    entry: MountEntry
    digests: tuple[tuple[str, int], ...]


def export_mount(
    folder: str,
    name: str,
    backend: Backend,
    blobs: BlobStore,
    shown: Shown,
    cancel: Cancellation,
) -> Sent:
    """Bring a backend's copy of a mount up to date with the folder.

    Whatever another export brings there meanwhile stays. Raises PermissionDenied, Unavailable,
    Corrupt, Exhausted, Cancelled.
    """
    try:
        last = load_index(backend, name, cancel)
    except LaminaError as error:
        if error.kind != "corrupt":
            raise
        last = None
    scanned = list(_scan(folder, cancel))
    made = _Packer(folder, blobs, cancel).pack(name, scanned, last[1] if last else None)
    known = {pack.digest for pack in last[1].packs} if last else set()
    new = sum(pack.size for pack in made.packs if pack.digest not in known)
    sent = Sent(sum(1 for s in scanned if stat.S_ISREG(s.entry.mode)), made.size, new)
    if last is not None and last[1] == made:
        return sent
    _publish(made, last, backend, blobs, shown, cancel)
    return sent


def _publish(
    made: MountIndex,
    last: tuple[Digest, MountIndex] | None,
    backend: Backend,
    blobs: BlobStore,
    shown: Shown,
    cancel: Cancellation,
) -> None:
    """Have the mount's name stand for what was made, and for what others bring meanwhile.

    No backend can compare and swap. So a look goes before and a look comes a moment after, and
    whoever finds the other's work in place of their own joins the two.
    """
    part = part_of(made.name)
    base = last
    for _ in range(_ROUNDS):
        target, data, config, blob = encode_index(made)
        content = _PackContent(blobs, {target.digest: data, config.digest: blob})
        backend.stage(part, target, content, cancel, shown.meter("writing pack"))
        there = load_index(backend, made.name, cancel)
        if there is None or (base is not None and there[0] == base[0]):
            backend.put(part, target, content, cancel)
            if cancel.wait(_PAUSE):
                cancel.check()
            there = load_index(backend, made.name, cancel)
            if there is None or _holds(there[1], made):
                return
        made = _union(made, there[1], last[1] if last else None)
        base = there


def _holds(there: MountIndex, made: MountIndex) -> bool:
    return {entry.path for entry in made.entries} <= {entry.path for entry in there.entries}


def _scan(folder: str, cancel: Cancellation) -> Iterator[_Scanned]:
    """Everything in a mount, folders before what is in them, with digests of the contents."""
    yield _Scanned(_entry("", os.lstat(folder)), ())
    stack = [""]
    while stack:
        path = stack.pop()
        try:
            with os.scandir(os.path.join(folder, path)) as found:
                names = sorted(found, key=lambda item: item.name)
        except FileNotFoundError:
            continue
        for item in names:
            cancel.check()
            child = f"{path}/{item.name}" if path else item.name
            try:
                status = item.stat(follow_symlinks=False)
                if stat.S_ISDIR(status.st_mode):
                    yield _Scanned(_entry(child, status), ())
                    stack.append(child)
                elif stat.S_ISLNK(status.st_mode):
                    yield _Scanned(_entry(child, status, os.readlink(item.path)), ())
                elif stat.S_ISREG(status.st_mode):
                    parts = tuple(
                        (sha256(piece).hexdigest(), len(piece)) for piece in _pieces(item.path)
                    )
                    yield _Scanned(_entry(child, status), parts)
            except FileNotFoundError:
                continue  # others may be at work in a shared mount


def _entry(path: str, status: os.stat_result, link: str = "") -> MountEntry:
    return MountEntry(
        path, status.st_mode, status.st_uid, status.st_gid, status.st_mtime_ns, (), link
    )


def _pieces(path: str) -> Iterator[memoryview | bytes]:
    """A file's chunks."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    with open(fd, "rb", buffering=0) as file:
        size = os.fstat(fd).st_size
        if size <= SMALL:
            data = file.read(SMALL + 1)
            if data:
                yield data
            return
        # Read, not mapped: a file that is cut short while it is mapped would kill the process.
        yield from chunks(file.readall())


class _Packer:
    """Turns what was scanned into an index, packing what the last one does not have."""

    def __init__(self, folder: str, blobs: BlobStore, cancel: Cancellation) -> None:
        self._folder = folder
        self._blobs = blobs
        self._cancel = cancel
        self._slots = threading.Semaphore(2 * _SIDE_BY_SIDE)
        self._failures: list[BaseException] = []

    def pack(self, name: str, scanned: list[_Scanned], last: MountIndex | None) -> MountIndex:
        wanted = {digest: size for item in scanned for digest, size in item.digests}
        packs, places = _kept(last, wanted)
        packs_by_number: dict[int, Descriptor] = dict(enumerate(packs))
        entries: list[tuple[_Scanned, bool]] = []
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
                missing = {digest for digest, _ in item.digests if digest not in places}
                if missing:
                    for piece in self._again(item):
                        digest = sha256(piece).hexdigest()
                        if digest in missing and digest not in places:
                            if len(batch) + len(piece) > _PACK and batch:
                                flush()
                                flushed += 1
                            places[digest] = (len(packs) + flushed, len(batch), len(piece))
                            batch += piece
                whole = all(digest in places for digest, _ in item.digests)
                entries.append((item, whole))  # else it changed since it was scanned
            flush()
        if self._failures:
            raise self._failures[0]
        ordered = [packs_by_number[number] for number in sorted(packs_by_number)]
        return _index(name, [item for item, whole in entries if whole], places, ordered)

    def _again(self, item: _Scanned) -> Iterator[memoryview | bytes]:
        try:
            yield from _pieces(os.path.join(self._folder, item.entry.path))
        except FileNotFoundError:
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
    last: MountIndex | None, wanted: dict[str, int]
) -> tuple[list[Descriptor], dict[str, tuple[int, int, int]]]:
    """The old packs that are worth keeping, more than half of each still being needed."""
    if last is None:
        return [], {}
    live: dict[int, int] = {}
    total: dict[int, int] = {}
    for chunk in last.chunks:
        total[chunk.pack] = max(total.get(chunk.pack, 0), chunk.offset + chunk.size)
        if chunk.digest in wanted:
            live[chunk.pack] = live.get(chunk.pack, 0) + chunk.size
    kept = [number for number in sorted(live) if 2 * live[number] > total[number]]
    renumbered = {number: place for place, number in enumerate(kept)}
    places = {
        chunk.digest: (renumbered[chunk.pack], chunk.offset, chunk.size)
        for chunk in last.chunks
        if chunk.pack in renumbered and chunk.digest in wanted
    }
    return [last.packs[number] for number in kept], places


def _index(
    name: str,
    scanned: list[_Scanned],
    places: dict[str, tuple[int, int, int]],
    packs: list[Descriptor],
) -> MountIndex:
    numbers: dict[str, int] = {}
    listed: list[Chunk] = []
    entries = []
    for item in scanned:
        parts = []
        for digest, _ in item.digests:
            if digest not in numbers:
                numbers[digest] = len(listed)
                listed.append(Chunk(digest, *places[digest]))
            parts.append(numbers[digest])
        entries.append(item.entry._replace(chunks=tuple(parts)))
    return MountIndex(name, tuple(packs), tuple(listed), tuple(entries))


def _union(ours: MountIndex, theirs: MountIndex, base: MountIndex | None) -> MountIndex:
    """Ours, and what they have that neither we nor what both began with has."""
    known = {entry.path for entry in ours.entries}
    if base is not None:
        known |= {entry.path for entry in base.entries}
    added = [entry for entry in theirs.entries if entry.path not in known]
    packs = list(ours.packs)
    places = {chunk.digest: (chunk.pack, chunk.offset, chunk.size) for chunk in ours.chunks}
    for entry in added:
        for part in entry.chunks:
            chunk = theirs.chunks[part]
            if chunk.digest not in places:
                pack = theirs.packs[chunk.pack]
                if pack not in packs:
                    packs.append(pack)
                places[chunk.digest] = (packs.index(pack), chunk.offset, chunk.size)
    every = [(entry, ours) for entry in ours.entries] + [(entry, theirs) for entry in added]
    scanned = [
        _Scanned(
            entry._replace(chunks=()),
            tuple((index.chunks[p].digest, index.chunks[p].size) for p in entry.chunks),
        )
        for entry, index in every
    ]
    return _index(ours.name, scanned, places, packs)


class _PackContent:
    """Packs of this store and of the backend itself, and documents made just now."""

    def __init__(self, blobs: BlobStore, made: dict[Digest, bytes]) -> None:
        self._blobs = blobs
        self._made = made

    def document(self, descriptor: Descriptor, cancel: Cancellation) -> bytes:
        return self._made[descriptor.digest]

    def chunks(
        self, descriptor: Descriptor, cancel: Cancellation, offset: int = 0
    ) -> Iterator[bytes]:
        made = self._made.get(descriptor.digest)
        yield (self._blobs.read(descriptor.digest) if made is None else made)[offset:]

    def origin(self, descriptor: Descriptor) -> str:
        return ""

"""What lies in a cache mount, and the digests of its chunks."""

from __future__ import annotations

import os
import stat
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

from lamina.cacheio.chunker import SMALL, chunks
from lamina.cacheio.mount_index import MountEntry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lamina.cacheio.mount_index import MountIndex
    from lamina.system.cancel import Cancellation


class Scanned(NamedTuple):
    """An entry whose chunks have no place yet: their digests (hex) and sizes."""

    entry: MountEntry
    digests: tuple[tuple[str, int], ...]


def described(entry: MountEntry, index: MountIndex) -> Scanned:
    """An entry of an index, its chunks by digest."""
    chunks = (index.chunks[number] for number in entry.chunks)
    return Scanned(entry._replace(chunks=()), tuple((c.digest, c.size) for c in chunks))


def scan(folder: str, cancel: Cancellation) -> Iterator[Scanned]:
    """Everything in a mount, folders before what is in them, with digests of the contents."""
    yield Scanned(_entry("", os.lstat(folder)), ())
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
                    yield Scanned(_entry(child, status), ())
                    stack.append(child)
                elif stat.S_ISLNK(status.st_mode):
                    yield Scanned(_entry(child, status, os.readlink(item.path)), ())
                elif stat.S_ISREG(status.st_mode):
                    parts = tuple(
                        (sha256(piece).hexdigest(), len(piece)) for piece in pieces(item.path)
                    )
                    yield Scanned(_entry(child, status), parts)
            except FileNotFoundError:
                continue  # others may be at work in a shared mount


def _entry(path: str, status: os.stat_result, link: str = "") -> MountEntry:
    return MountEntry(
        path, status.st_mode, status.st_uid, status.st_gid, status.st_mtime_ns, (), link
    )


def pieces(path: str) -> Iterator[memoryview | bytes]:
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

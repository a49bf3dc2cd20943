"""Cache mounts from a backend, when a step asks for one that is not here."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from lamina.base.errors import Corrupt
from lamina.cacheio.load import read_blob
from lamina.system.threads import in_parallel

if TYPE_CHECKING:
    from lamina.base.oci import Descriptor
    from lamina.cacheio.backend import Backend
    from lamina.cacheio.contract import Shown
    from lamina.cacheio.mount_index import MountEntry, MountIndex
    from lamina.system.cancel import Cancellation

_SIDE_BY_SIDE = 4
_LIMIT = 256 << 20


def restore_mount(
    index: MountIndex, folder: str, backend: Backend, shown: Shown, cancel: Cancellation
) -> None:
    """Fill an empty folder with a mount: files with mode, owner and times as they were.

    Folders come first and links last, so that nothing is written through a link. Raises
    PermissionDenied, Unavailable, Corrupt, Exhausted, Cancelled.
    """
    folders = [entry for entry in index.entries if stat.S_ISDIR(entry.mode)]
    for entry in sorted(folders, key=lambda e: e.path.count("/") if e.path else -1):
        if entry.path:
            os.mkdir(_path(folder, entry), 0o700)
    files = [entry for entry in index.entries if stat.S_ISREG(entry.mode)]
    # Where each chunk goes: (file, offset), by pack.
    places: dict[int, dict[int, list[tuple[MountEntry, int]]]] = {}
    for entry in files:
        offset = 0
        for number in entry.chunks:
            chunk = index.chunks[number]
            pack = places.setdefault(chunk.pack, {})
            pack.setdefault(number, []).append((entry, offset))
            offset += chunk.size
        fd = os.open(_path(folder, entry), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        os.close(fd)
    told = shown.meter("reading pack")

    def unpack(pack: int, cancel: Cancellation) -> None:
        descriptor = index.packs[pack]
        data = _inflate(descriptor, read_blob(backend, descriptor, cancel))
        for number, targets in places[pack].items():
            chunk = index.chunks[number]
            piece = data[chunk.offset : chunk.offset + chunk.size]
            if len(piece) != chunk.size:
                raise Corrupt(f"the pack {descriptor.digest} is shorter than its index says")
            for entry, offset in targets:
                _write(_path(folder, entry), piece, offset)
        told(descriptor, descriptor.size)

    in_parallel(sorted(places), unpack, _SIDE_BY_SIDE, cancel)
    for entry in files:
        _dress(_path(folder, entry), entry)
    for entry in index.entries:
        if stat.S_ISLNK(entry.mode):
            path = _path(folder, entry)
            os.symlink(entry.link, path)
            os.chown(path, entry.uid, entry.gid, follow_symlinks=False)
            os.utime(path, ns=(entry.mtime_ns, entry.mtime_ns), follow_symlinks=False)
    for entry in sorted(folders, key=lambda e: e.path, reverse=True):
        _dress(_path(folder, entry), entry)


def _path(folder: str, entry: MountEntry) -> str:
    return os.path.join(folder, entry.path) if entry.path else folder


def _inflate(descriptor: Descriptor, blob: bytes) -> memoryview:
    import zstandard

    try:
        return memoryview(zstandard.ZstdDecompressor().decompress(blob, max_output_size=_LIMIT))
    except zstandard.ZstdError as error:
        raise Corrupt(f"the pack {descriptor.digest} cannot be inflated: {error}") from error


def _write(path: str, data: memoryview, offset: int) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        while data:
            written = os.pwrite(fd, data, offset)
            data = data[written:]
            offset += written
    finally:
        os.close(fd)


def _dress(path: str, entry: MountEntry) -> None:
    os.chown(path, entry.uid, entry.gid)
    os.chmod(path, stat.S_IMODE(entry.mode))
    os.utime(path, ns=(entry.mtime_ns, entry.mtime_ns))

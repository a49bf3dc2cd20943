"""Imports cache mounts from a backend, when a step needs one that does not exist here."""

from __future__ import annotations

import os
import stat
from hashlib import sha256
from typing import TYPE_CHECKING

from lamina.base.errors import Corrupt
from lamina.base.limits import UNPACKED, SizeLimit
from lamina.base.named_tuple import NamedTuple
from lamina.cacheio.cache_loader import read_blob
from lamina.cacheio.mount_index import PACK_LIMIT, expand_zstd
from lamina.system.beneath import Beneath
from lamina.system.file_metadata import KERNEL_METADATA
from lamina.system.threads import in_parallel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lamina.base.oci import Descriptor
    from lamina.cacheio.backend import Backend
    from lamina.cacheio.contract import Shown
    from lamina.cacheio.mount_index import Chunk, MountEntry, MountIndex
    from lamina.system.cancel import Cancellation
    from lamina.system.file_metadata import FileMetadata

_SIDE_BY_SIDE = 4
_CREATE = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW
_WRITE = os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW


class _Piece(NamedTuple):
    """The destination of a chunk."""

    chunk: Chunk
    path: str
    offset: int


def restore_mount(
    index: MountIndex,
    folder: str,
    backend: Backend,
    shown: Shown,
    cancel: Cancellation,
    metadata: FileMetadata = KERNEL_METADATA,
) -> None:
    """Fill an empty directory with a mount: files with their modes, owners and times.

    Everything is created by descriptors of directories beneath it, and links are created last.
    Every chunk is verified. Raises PermissionDenied, Unavailable, Corrupt, Exhausted, Cancelled,
    OSError.
    """
    # Its files may refer to one chunk any number of times.
    SizeLimit(UNPACKED, f"the cache mount {index.name}").add(index.size)
    folders = [entry for entry in index.entries if stat.S_ISDIR(entry.mode)]
    folders.sort(key=lambda entry: entry.path.count("/") if entry.path else -1)
    files = [entry for entry in index.entries if stat.S_ISREG(entry.mode)]
    progress = shown.meter("reading pack")
    with Beneath(folder) as beneath:
        for entry in folders:
            if entry.path:
                above, name = _place(beneath, entry)
                os.mkdir(name, 0o700, dir_fd=above)
        for entry in files:
            above, name = _place(beneath, entry)
            os.close(os.open(name, _CREATE, 0o600, dir_fd=above))
        packs = _by_pack(index, files)

        def unpack(pack: int, cancel: Cancellation) -> None:
            descriptor = index.packs[pack]
            data = memoryview(expand_zstd(read_blob(backend, descriptor, cancel), PACK_LIMIT))
            _write_pieces(folder, data, packs[pack], descriptor, cancel)
            progress(descriptor, descriptor.size)

        in_parallel(sorted(packs), unpack, _SIDE_BY_SIDE, cancel)
        for entry in files:
            above, name = _place(beneath, entry)
            _dress(os.open(name, _WRITE, dir_fd=above), entry, metadata)
        for entry in index.entries:
            if stat.S_ISLNK(entry.mode):
                _make_link(*_place(beneath, entry), entry, metadata)
        for entry in reversed(folders):
            above, name = _place(beneath, entry)
            _dress(os.open(name or ".", _DIRECTORY, dir_fd=above), entry, metadata)


def _place(beneath: Beneath, entry: MountEntry) -> tuple[int, str]:
    """The directory of an entry, and its name there."""
    parent, _, name = entry.path.rpartition("/")
    return beneath.directory(parent), name


def _by_pack(index: MountIndex, files: Sequence[MountEntry]) -> dict[int, list[_Piece]]:
    packs: dict[int, list[_Piece]] = {}
    for entry in files:
        offset = 0
        for number in entry.chunks:
            chunk = index.chunks[number]
            packs.setdefault(chunk.pack, []).append(_Piece(chunk, entry.path, offset))
            offset += chunk.size
    return packs


def _write_pieces(
    folder: str,
    data: memoryview,
    pieces: Sequence[_Piece],
    pack: Descriptor,
    cancel: Cancellation,
) -> None:
    checked: set[Chunk] = set()
    with Beneath(folder) as beneath:
        for chunk, path, offset in pieces:
            cancel.check()  # an index may refer to one chunk very often
            content = data[chunk.offset : chunk.offset + chunk.size]
            if chunk not in checked:
                if len(content) != chunk.size or sha256(content).hexdigest() != chunk.digest:
                    raise Corrupt(f"the pack {pack.digest} does not match its index")
                checked.add(chunk)
            parent, _, name = path.rpartition("/")
            _write(os.open(name, _WRITE, dir_fd=beneath.directory(parent)), content, offset)


def _write(fd: int, data: memoryview, offset: int) -> None:
    try:
        while data:
            written = os.pwrite(fd, data, offset)
            data = data[written:]
            offset += written
    finally:
        os.close(fd)


def _make_link(above: int, name: str, entry: MountEntry, metadata: FileMetadata) -> None:
    os.symlink(entry.link, name, dir_fd=above)
    metadata.own(name, entry.uid, entry.gid, dir_fd=above)
    times = (entry.mtime_ns, entry.mtime_ns)
    os.utime(name, ns=times, dir_fd=above, follow_symlinks=False)


def _dress(fd: int, entry: MountEntry, metadata: FileMetadata) -> None:
    """Set the owner, mode and time of an open file or directory, and close it."""
    try:
        metadata.own(fd, entry.uid, entry.gid)
        os.fchmod(fd, stat.S_IMODE(entry.mode))
        os.utime(fd, ns=(entry.mtime_ns, entry.mtime_ns))
    finally:
        os.close(fd)

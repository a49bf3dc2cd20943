"""Exports cache mounts to a backend: only chunks that the last export does not contain."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from lamina.base.errors import Corrupt, NotFound, Unavailable
from lamina.base.named_tuple import NamedTuple
from lamina.cacheio.mount_pack import Packer
from lamina.cacheio.mount_publish import Publication, load_mount
from lamina.cacheio.mount_scan import Scanned, described, scan
from lamina.system.file_metadata import KERNEL_METADATA

if TYPE_CHECKING:
    from collections.abc import Container

    from lamina.cacheio.backend import Backend
    from lamina.cacheio.contract import Shown
    from lamina.cacheio.mount_index import MountIndex
    from lamina.stores.blobs import BlobStore
    from lamina.system.cancel import Cancellation
    from lamina.system.file_metadata import FileMetadata


class Sent(NamedTuple):
    """The outcome of an export: the number of files, of their bytes, and of the bytes of new packs,
    and the paths that the directory and the backend's copy now have in common."""

    files: int
    size: int
    new: int
    paths: tuple[str, ...]


def export_mount(
    folder: str,
    name: str,
    common: Container[str],
    backend: Backend,
    blobs: BlobStore,
    shown: Shown,
    cancel: Cancellation,
    metadata: FileMetadata = KERNEL_METADATA,
) -> Sent:
    """Update a backend's copy of a mount.

    Files that only the copy has and that are in `common` were removed here, so they are removed
    there. All others were added by other machines, and are kept. Raises NotFound, PermissionDenied,
    Unavailable, Corrupt, Exhausted, Cancelled.
    """
    try:
        there = load_mount(backend, name, cancel)
    except Corrupt:
        there = None  # an unreadable copy is replaced
    last = there.mount if there else None
    scanned = list(scan(folder, cancel, metadata))
    ours = {item.entry.path for item in scanned}
    theirs = _others(last, ours, common)
    packer = Packer(folder, blobs, cancel)
    made = packer.pack(name, scanned, theirs, last)
    known = {pack.digest for pack in last.packs} if last else set()
    new = sum(pack.size for pack in made.packs if pack.digest not in known)
    size = sum(size for item in scanned for _, size in item.digests)
    files = sum(1 for item in scanned if stat.S_ISREG(item.entry.mode))
    sent = Sent(files, size, new, tuple(ours))
    if there is not None and not there.loose and last == made:
        return sent
    try:
        Publication(made, last, common, backend, blobs, shown).run(cancel)
    except (NotFound, Unavailable):
        if last is None:
            raise
        # The backend may have lost packs that its index names: export everything again.
        made = packer.pack(name, scanned, [], None)
        Publication(made, None, common, backend, blobs, shown).run(cancel)
        return sent._replace(new=sum(pack.size for pack in made.packs))
    return sent


def _others(last: MountIndex | None, ours: set[str], common: Container[str]) -> list[Scanned]:
    """The files that only the backend's copy has, and that other machines added."""
    if last is None:
        return []
    return [
        described(entry, last)
        for entry in last.entries
        if entry.path not in ours and entry.path not in common
    ]

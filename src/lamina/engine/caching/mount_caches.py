"""Cache mounts in caches: fetched when a step uses one, exported when the build ends."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from lamina.base.errors import Cancelled, LaminaError, from_os_error
from lamina.cacheio.mount_index import export_name
from lamina.cacheio.options import InlineLocation
from lamina.engine.steps import step
from lamina.llb.codec import decode_op
from lamina.llb.op import MountType
from lamina.stores.cache_mounts import MountOrigin
from lamina.system.removal import discard_tree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from lamina.base.events import EventSink
    from lamina.cacheio.backend import Backend
    from lamina.cacheio.mount_export import Sent
    from lamina.cacheio.options import BackendLocation, CacheExport, CacheImport
    from lamina.engine.steps import Step
    from lamina.llb.op import Definition
    from lamina.stores.blobs import BlobStore
    from lamina.stores.cache_mounts import CacheMountStore
    from lamina.system.cancel import Cancellation
    from lamina.system.file_metadata import FileMetadata

    BackendOf = Callable[[BackendLocation], Backend]


class MountCaches:
    """The cache mounts of one build, and the caches that contain them.

    Args:
        backend_of: opens the backend of a cache.
        metadata: how the files of mounts have their metadata.
    """

    def __init__(
        self,
        mounts: CacheMountStore,
        blobs: BlobStore,
        backend_of: BackendOf,
        events: EventSink,
        metadata: FileMetadata,
    ) -> None:
        self._metadata = metadata
        self._mounts = mounts
        self._blobs = blobs
        self._backend_of = backend_of
        self._events = events

    def restore(
        self, imports: Sequence[CacheImport], mount_id: str, folder: str, cancel: Cancellation
    ) -> MountOrigin | None:
        """Fill a new mount from the first cache that has it. Returns the mount's origin.

        If a cache cannot be read, a warning is shown, and the mount stays empty.
        """
        name = export_name(mount_id)
        for requested in imports:
            if not requested.mounts.takes(name):
                continue
            try:
                with step(f"importing cache mount {name}", self._events) as shown:
                    try:
                        backend = self._backend_of(requested.location)
                        if origin := self._fetch(backend, name, folder, shown, cancel):
                            return origin
                    except Cancelled:
                        raise
                    except LaminaError as error:
                        shown.warn(f"the cache mount {name} was not imported: {error.reason}")
                        raise
            except Cancelled:
                raise
            except LaminaError:
                continue
        return None

    def export(self, requested: CacheExport, definition: Definition, cancel: Cancellation) -> None:
        """Export the cache mounts that a definition names and a cache includes."""
        if isinstance(requested.location, InlineLocation):
            return  # an image's config takes no mounts
        wanted = [
            name for name in mounts_of(definition) if requested.mounts.takes(export_name(name))
        ]
        backend = self._backend_of(requested.location)
        self.send(wanted, backend, must=requested.must_succeed, cancel=cancel)

    def send(
        self, mount_ids: Iterable[str], backend: Backend, *, must: bool, cancel: Cancellation
    ) -> list[tuple[str, Sent]]:
        """Update the backend's copies of mounts. A failure is a warning, or with `must` an
        error."""
        done = []
        for mount_id in mount_ids:
            name = export_name(mount_id)
            local = self._local_id(mount_id)
            if local is None:
                continue
            try:
                with step(f"exporting cache mount {name}", self._events) as shown:
                    try:
                        sent = self._send(local, name, backend, shown, cancel)
                        if sent is not None:
                            done.append((name, sent))
                    except Cancelled:
                        raise
                    except LaminaError as error:
                        if not must:
                            shown.warn(f"the cache mount {name} was not sent: {error.reason}")
                        raise
            except Cancelled:
                raise
            except LaminaError:
                if must:
                    raise
        return done

    def _send(
        self, local: str, name: str, backend: Backend, shown: Step, cancel: Cancellation
    ) -> Sent | None:
        """Returns None if the mount does not exist any more."""
        from lamina.cacheio.mount_export import export_mount

        try:
            with self._mounts.reading(local, cancel) as folder:
                if folder is None:
                    return None
                common = self._mounts.in_common(local, backend.origin.text)
                sent = export_mount(
                    folder, name, common, backend, self._blobs, shown, cancel, self._metadata
                )
                self._mounts.keep_place(local, backend.origin.text, sent.paths, imported=False)
        except OSError as error:
            raise from_os_error(error, "read the cache mount") from error
        shown.status(f"{sent.files} files", sent.size, sent.size)
        shown.status("new packs", sent.new, sent.new)
        return sent

    def fetch(self, name: str, backend: Backend, cancel: Cancellation) -> bool:
        """Import one mount for `lamina cache import`, replacing the local one. Returns whether the
        backend has it."""
        with step(f"importing cache mount {name}", self._events) as shown:
            return self._mounts.replace(
                self._local_id(name) or name,
                lambda folder: self._fetch(backend, name, folder, shown, cancel),
                cancel,
            )

    def _fetch(
        self, backend: Backend, name: str, folder: str, shown: Step, cancel: Cancellation
    ) -> MountOrigin | None:
        from lamina.cacheio.mount_import import restore_mount
        from lamina.cacheio.mount_publish import load_mount

        found = load_mount(backend, name, cancel)
        if found is None:
            shown.status(f"{backend.label} does not have it")
            return None
        index = found.mount
        try:
            try:
                restore_mount(index, folder, backend, shown, cancel, self._metadata)
            except OSError as error:
                raise from_os_error(error, "import the cache mount") from error
        except LaminaError:
            _empty(folder)
            raise
        shown.status(f"{len(index.entries)} entries", index.size, index.size)
        return MountOrigin(backend.origin.text, tuple(entry.path for entry in index.entries))

    def _local_id(self, mount_id: str) -> str | None:
        """The ID of a mount in this store; the most recently used one if there are several."""
        name = export_name(mount_id)
        known = self._mounts.names()
        display = self.display_names(known)
        return next((known_id for known_id in known if display[known_id] == name), None)

    @staticmethod
    def display_names(ids: Iterable[str]) -> dict[str, str]:
        """The names of mounts in messages: a store's ID also contains the snapshot that a mount
        began with."""
        found = {}
        for mount_id in ids:
            base, _, state = mount_id.rpartition(":")
            found[mount_id] = export_name(base if base and state.isdigit() else mount_id)
        return found


def mounts_of(definition: Definition) -> list[str]:
    """The IDs of the cache mounts in a definition's steps."""
    found: dict[str, None] = {}
    for data in definition.ops:
        op = decode_op(data)
        for mount in op.exec.mounts if op.exec is not None else ():
            if mount.mount_type is MountType.CACHE:
                found[(mount.cache.id if mount.cache else "") or mount.dest] = None
    return list(found)


def _empty(folder: str) -> None:
    for name in os.listdir(folder):
        discard_tree(os.path.join(folder, name))

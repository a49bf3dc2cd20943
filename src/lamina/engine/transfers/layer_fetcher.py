"""Fetches one layer's blob from one of its origins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.errors import LaminaError, NotFound, PermissionDenied
from lamina.stores.origins import OriginKind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lamina.base.oci import Descriptor
    from lamina.cacheio.backend import Backend
    from lamina.engine.transfers.open_caches import OpenCaches
    from lamina.registry.client import RegistryClient
    from lamina.session.contract import Session
    from lamina.stores.blobs import BlobStore, BlobWriter
    from lamina.stores.origins import Origin
    from lamina.system.cancel import Cancellation


class LayerFetcher:
    """Reads each kind of origin.

    Args:
        registries: the registry clients of the current requesters, at least one.
        sessions: the sessions of the current requesters.
        caches: the caches in object stores that builds have opened.
    """

    def __init__(
        self,
        blobs: BlobStore,
        registries: Callable[[], Sequence[RegistryClient]],
        sessions: Callable[[], Sequence[Session]],
        caches: OpenCaches,
    ) -> None:
        self._blobs = blobs
        self._registries = registries
        self._sessions = sessions
        self._caches = caches

    def fetch(
        self,
        blob: Descriptor,
        origin: Origin,
        cancel: Cancellation,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        """Fetch and verify the blob. `progress` is called with the bytes so far.

        Raises NotFound, PermissionDenied, Unavailable, Corrupt, Exhausted, Cancelled.
        """
        match origin.kind:
            case OriginKind.IMAGE | OriginKind.CACHE:
                self._pull(blob, origin, cancel, progress)
            case OriginKind.LAYOUT:
                from lamina.sources.blob_copy import copy_blob

                copy_blob(origin.location, blob, self._blobs, cancel)
            case OriginKind.STORE:
                self._copy_from_store(blob, origin.location, cancel, progress)
            case OriginKind.CLIENT:
                self._copy_served(blob, origin.location, cancel)

    def registry_has(self, blob: Descriptor, origin: Origin, cancel: Cancellation) -> bool:
        """Whether an origin in a registry has the blob. Raises Cancelled."""
        from lamina.base.errors import Cancelled
        from lamina.base.reference import parse_reference
        from lamina.registry.blob_upload import has_blob

        reference = parse_reference(origin.reference)
        for registry in self._registries():
            try:
                if has_blob(registry, reference, blob, cancel, "pull"):
                    return True
            except Cancelled:
                raise
            except LaminaError:
                continue
        return False

    def _pull(
        self,
        blob: Descriptor,
        origin: Origin,
        cancel: Cancellation,
        progress: Callable[[int], None] | None,
    ) -> None:
        """Pull a blob with the credentials of one session after the other, until one has access."""
        from lamina.base.reference import parse_reference
        from lamina.registry.pull import fetch_blob

        reference = parse_reference(origin.reference)
        failure: LaminaError = NotFound("no build waits for this layer any more")
        for registry in self._registries():

            def bring(writer: BlobWriter, registry: RegistryClient = registry) -> None:
                fetch_blob(registry, reference, blob, writer, cancel, progress)

            try:
                self._blobs.receive(blob, bring, cancel)
            except PermissionDenied as error:
                failure = error
            else:
                return
        raise failure

    def _copy_from_store(
        self,
        blob: Descriptor,
        location: str,
        cancel: Cancellation,
        progress: Callable[[int], None] | None,
    ) -> None:
        failure: LaminaError = NotFound(f"no running build imports the cache {location}")
        for backend in self._caches.at(location):

            def bring(writer: BlobWriter, backend: Backend = backend) -> None:
                for chunk in backend.blob(blob, cancel, writer.offset):
                    writer.write(chunk)
                    if progress is not None:
                        progress(writer.offset)

            try:
                self._blobs.receive(blob, bring, cancel)
            except LaminaError as error:
                failure = error
            else:
                return
        raise failure

    def _copy_served(self, blob: Descriptor, store: str, cancel: Cancellation) -> None:
        from lamina.sources.blob_copy import copy_from_client

        failure: LaminaError = NotFound(f"no client serves the content store {store}")
        for session in self._sessions():
            try:
                copy_from_client(session.content(store), blob, self._blobs, cancel)
            except LaminaError as error:
                failure = error
            else:
                return
        raise failure

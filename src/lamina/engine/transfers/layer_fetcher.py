"""Fetching one layer's blob from one of its origins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.errors import LaminaError, NotFound
from lamina.stores.origins import OriginKind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lamina.base.oci import Descriptor
    from lamina.registry.client import RegistryClient
    from lamina.session.contract import Session
    from lamina.stores.blobs import BlobStore
    from lamina.stores.origins import Origin
    from lamina.system.cancel import Cancellation


class LayerFetcher:
    """Knows how to read each kind of origin.

    Args:
        registry: the client for registries of the build that asks.
        sessions: the sessions of the builds that ask.
    """

    def __init__(
        self,
        blobs: BlobStore,
        registry: Callable[[], RegistryClient],
        sessions: Callable[[], Sequence[Session]],
    ) -> None:
        self._blobs = blobs
        self._registry = registry
        self._sessions = sessions

    def fetch(
        self,
        blob: Descriptor,
        origin: Origin,
        cancel: Cancellation,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        """Bring the blob into the store, checked. `progress` gets the bytes that are there.

        Raises NotFound, PermissionDenied, Unavailable, Corrupt, Exhausted, Cancelled.
        """
        match origin.kind:
            case OriginKind.IMAGE | OriginKind.CACHE:
                from lamina.base.reference import parse_reference
                from lamina.registry.pull import fetch_blob

                reference = parse_reference(origin.reference)
                registry = self._registry()
                self._blobs.receive(
                    blob,
                    lambda writer: fetch_blob(registry, reference, blob, writer, cancel, progress),
                    cancel,
                )
            case OriginKind.LAYOUT:
                from lamina.sources.layout import copy_blob

                copy_blob(origin.location, blob, self._blobs, cancel)
            case OriginKind.CLIENT:
                self._copy_served(blob, origin.location, cancel)

    def registry_has(self, blob: Descriptor, origin: Origin, cancel: Cancellation) -> bool:
        """Whether an origin in a registry has the blob. Raises Cancelled."""
        from lamina.base.errors import Cancelled
        from lamina.base.reference import parse_reference
        from lamina.registry.blob_upload import has_blob

        reference = parse_reference(origin.reference)
        try:
            return has_blob(self._registry(), reference, blob, cancel, "pull")
        except Cancelled:
            raise
        except LaminaError:
            return False

    def _copy_served(self, blob: Descriptor, store: str, cancel: Cancellation) -> None:
        from lamina.sources.layout import copy_from_client

        failure: LaminaError = NotFound(f"no client serves the content store {store}")
        for session in self._sessions():
            try:
                copy_from_client(session.content(store), blob, self._blobs, cancel)
            except LaminaError as error:
                failure = error
            else:
                return
        raise failure

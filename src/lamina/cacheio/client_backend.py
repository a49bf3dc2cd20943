"""Caches in a content store of a client: `type=local` of a client of the daemon.

The client manages the list of names (an OCI layout's `index.json`): it sends the digest to read,
and gets the one that was written. So only results are supported here, no cache mounts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.errors import NotFound, Unsupported
from lamina.stores.origins import Origin, OriginKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lamina.base.digest import Digest
    from lamina.base.oci import Descriptor
    from lamina.cacheio.options import ClientLocation
    from lamina.registry.upload import Content, Transferred
    from lamina.session.contract import ContentStore
    from lamina.system.cancel import Cancellation


class ClientBackend:
    """Implements `lamina.cacheio.backend.Backend`."""

    def __init__(self, content: ContentStore, location: ClientLocation) -> None:
        self._content = content
        self._location = location

    @property
    def label(self) -> str:
        return self._location.label

    @property
    def origin(self) -> Origin:
        return Origin(OriginKind.CLIENT, self._location.store)

    def alternatives(self) -> Sequence[ClientBackend]:
        return (self,)

    def manifest(self, part: str, cancel: Cancellation) -> tuple[Digest, bytes]:
        digest = self._location.digest
        if part or digest is None:
            raise NotFound(f"{self.label} has no cache of that name")
        return digest, b"".join(self._content.read(digest, cancel))

    def document(self, descriptor: Descriptor, cancel: Cancellation) -> bytes:
        return b"".join(self.blob(descriptor, cancel))

    def blob(
        self, descriptor: Descriptor, cancel: Cancellation, offset: int = 0
    ) -> Iterator[bytes]:
        return self._content.read(descriptor.digest, cancel, offset=offset)

    def has(self, descriptor: Descriptor, cancel: Cancellation) -> bool:
        try:
            return self._content.size(descriptor.digest, cancel) == descriptor.size
        except NotFound:
            return False

    def stage(
        self,
        part: str,
        blobs: Sequence[Descriptor],
        content: Content,
        cancel: Cancellation,
        progress: Transferred | None = None,
    ) -> None:
        if part:
            raise Unsupported("cache mounts cannot be kept in a client's directory")
        for blob in blobs:
            if not self.has(blob, cancel):
                self._content.write(blob.digest, blob.size, content.chunks(blob, cancel), cancel)
            if progress is not None:
                progress(blob, blob.size)

    def name(self, part: str, target: Descriptor, content: Content, cancel: Cancellation) -> None:
        data = content.document(target, cancel)
        self._content.write(target.digest, target.size, [data], cancel)

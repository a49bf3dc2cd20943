"""The content of images in the store, for pushing them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.reference import parse_reference

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lamina.base.oci import Descriptor
    from lamina.base.reference import Reference
    from lamina.refs.manager import RefManager
    from lamina.stores.blobs import BlobStore
    from lamina.system.cancel import Cancellation

_CHUNK = 1 << 20


class StoreContent:
    """Implements `lamina.registry.upload.Content`.

    A layer that the store lacks is fetched from its origin only if it cannot be mounted from there.
    """

    def __init__(self, refs: RefManager, blobs: BlobStore) -> None:
        self._refs = refs
        self._blobs = blobs

    def document(self, descriptor: Descriptor, cancel: Cancellation) -> bytes:
        return self._blobs.read(descriptor.digest)

    def chunks(
        self, descriptor: Descriptor, cancel: Cancellation, offset: int = 0
    ) -> Iterator[bytes]:
        self._refs.fetch([descriptor], cancel)
        with self._blobs.open(descriptor.digest) as file:
            file.seek(offset)
            while chunk := file.read(_CHUNK):
                yield chunk

    def repositories(self, descriptor: Descriptor) -> Sequence[Reference]:
        origins = self._refs.origins.of(descriptor.digest)
        return [parse_reference(origin.reference) for origin in origins if origin.reference]

"""Images of the local store, for comparisons."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from lamina.base.errors import NotFound
from lamina.imagediff.image import load_image

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from lamina.base.oci import Descriptor
    from lamina.base.platform import Platform
    from lamina.imagediff.image import Image
    from lamina.stores.store import Store
    from lamina.system.cancel import Cancellation

    Fetch = Callable[[Sequence[Descriptor], Cancellation], None]

_CHUNK = 1 << 18


class StoredContent:
    """The blobs of a store. Implements `lamina.imagediff.image.ImageContent`.

    Args:
        fetch: fetches layers that are not in the store from their origins.
    """

    def __init__(self, store: Store, fetch: Fetch) -> None:
        self._blobs = store.blobs
        self._fetch = fetch

    def document(self, descriptor: Descriptor, cancel: Cancellation) -> bytes:
        if not self._blobs.has(descriptor.digest):
            shown = f" for {descriptor.platform}" if descriptor.platform is not None else ""
            raise NotFound(f"the image{shown} is not in the local store")
        return self._blobs.read(descriptor.digest)

    def chunks(self, descriptor: Descriptor, cancel: Cancellation) -> Iterator[bytes]:
        if not self._blobs.has(descriptor.digest):
            self._fetch([descriptor], cancel)
        with self._blobs.open(descriptor.digest) as file:
            while chunk := file.read(_CHUNK):
                yield chunk


@contextmanager
def stored_image(
    store: Store,
    fetch: Fetch,
    name: str,
    target: Descriptor,
    platform: Platform | None,
    cancel: Cancellation,
) -> Iterator[Image]:
    """Open an image of the store. Its blobs are kept for the block. Raises as `load_image` does."""
    with store.shared():
        yield load_image(name, target, StoredContent(store, fetch), platform, cancel)

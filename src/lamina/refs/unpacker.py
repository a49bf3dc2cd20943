"""Fetches and unpacks layers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.errors import Corrupt

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lamina.base.oci import Descriptor
    from lamina.refs.snapshotter import Snapshotter
    from lamina.stores.blobs import BlobStore
    from lamina.stores.layers import Layer
    from lamina.stores.snapshots import Staged
    from lamina.system.cancel import Cancellation


class LayerUnpacker:
    """Unpacks layers into directories as a snapshotter needs them.

    Args:
        fetch: fetches the blobs of layers from their origins into the store.
    """

    def __init__(
        self,
        blobs: BlobStore,
        fetch: Callable[[Sequence[Descriptor], Cancellation], None],
        snapshotter: Snapshotter,
    ) -> None:
        self._blobs = blobs
        self._fetch = fetch
        self._snapshotter = snapshotter

    def fetch(self, blobs: Sequence[Descriptor], cancel: Cancellation) -> None:
        """Fetch those of these blobs that the store lacks."""
        missing = [blob for blob in blobs if not self._blobs.has(blob.digest)]
        if missing:
            self._fetch(missing, cancel)

    def unpack(
        self, layer: Layer, lowers: Sequence[str], staged: Staged, cancel: Cancellation
    ) -> None:
        """Fill `staged` with the changes of a layer on top of `lowers` (`fs` directories).

        Raises Corrupt if the layer does not have its diff id.
        """
        from lamina.layers.decompression import decompressed
        from lamina.layers.reader import HashingReader

        self.fetch([layer.descriptor], cancel)
        with self._blobs.open(layer.descriptor.digest) as file:
            tar = HashingReader(decompressed(file))
            applied = self._snapshotter.unpack(tar, lowers, staged, cancel)
            tar.drain()
        if not applied.whole:
            staged.mark_partial()
        if tar.digest() != layer.diff_id:
            raise Corrupt(
                f"the diff ID of layer {layer.descriptor.digest} is {tar.digest()},"
                f" but the image has {layer.diff_id}",
                hint="the image is broken; build or push it again",
            )

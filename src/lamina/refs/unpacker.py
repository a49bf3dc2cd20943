"""Layers and plans become files. A build that runs nothing imports none of how."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.errors import Corrupt

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lamina.base.oci import Descriptor
    from lamina.refs.plan import FilePlan
    from lamina.stores.blobs import BlobStore
    from lamina.stores.layers import Layer
    from lamina.stores.snapshots import Staged
    from lamina.system.cancel import Cancellation


class LayerUnpacker:
    """Implements `Unpacker`: see `lamina.refs.pool`.

    Args:
        fetch: brings layers' blobs that the store lacks.
        overlay: whether directories hold differences (else whole trees).
    """

    def __init__(
        self,
        blobs: BlobStore,
        fetch: Callable[[Sequence[Descriptor], Cancellation], None],
        *,
        overlay: bool,
    ) -> None:
        self._blobs = blobs
        self._fetch = fetch
        self._overlay = overlay

    def bring(self, blobs: Sequence[Descriptor], cancel: Cancellation) -> None:
        missing = [blob for blob in blobs if not self._blobs.has(blob.digest)]
        if missing:
            self._fetch(missing, cancel)

    def unpack(
        self, layer: Layer, lowers: Sequence[str], staged: Staged, cancel: Cancellation
    ) -> None:
        from lamina.layers.apply import Whiteouts, apply_layer
        from lamina.layers.decompression import decompressed
        from lamina.layers.reader import HashingReader

        self.bring([layer.descriptor], cancel)
        style = Whiteouts.OVERLAY if self._overlay else Whiteouts.REMOVE
        with self._blobs.open(layer.descriptor.digest) as file:
            below = lowers if self._overlay else None
            plain = HashingReader(decompressed(file))
            applied = apply_layer(plain, staged.files, style, cancel, below)
            plain.drain()
        if not applied.whole:
            staged.mark_partial()
        if plain.digest() != layer.diff_id:
            raise Corrupt(
                f"layer {layer.descriptor.digest} holds {plain.digest()},"
                f" but its image says {layer.diff_id}",
                hint="the image is broken; build or push it again",
            )

    def lay_out(
        self, plan: FilePlan, lowers: Sequence[str], staged: Staged, cancel: Cancellation
    ) -> None:
        from lamina.refs.layout import Layout

        Layout(plan, staged.files, cancel, overlay=self._overlay).run()

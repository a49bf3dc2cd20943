"""File ops that read a client's directory, which may change meanwhile.

The results are laid out or packed at once, so that they certainly have the content of their cache
key when they are stored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.events import WarningEvent
from lamina.refs.live_tree import LiveTree
from lamina.refs.reading import Reading, SourceChanged
from lamina.refs.ref import Ref

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from lamina.base.digest import Digest
    from lamina.layers.compression import Compression
    from lamina.refs.manager import RefManager
    from lamina.solver.contract import OpContext

NOT_REMEMBERED = "The build context changed while this step read it: its result is not cached"


class LiveInputs:
    """The inputs of one run of an op; `digesters` compute the digests of its dependencies."""

    def __init__(
        self,
        context: OpContext,
        inputs: Sequence[Ref],
        digesters: Mapping[int, Callable[[Ref], Digest]],
        refs: RefManager,
    ) -> None:
        self._context = context
        self._inputs = inputs
        self._digesters = digesters
        self._refs = refs

    def run(
        self,
        make: Callable[[Reading, Sequence[Ref]], Sequence[Ref]],
        compression: Compression | None,
    ) -> Sequence[Ref]:
        """Run `make` on the current inputs. Returns the results, laid out or packed.

        Revises the content digests of the inputs (`OpContext.revise`). If a directory changes
        meanwhile it is read once more. If it changes again, the digest is None.
        """
        try:
            return self._attempt(make, Reading(), compression)
        except SourceChanged:
            return self._attempt(make, Reading(tolerant=True), None)

    def _attempt(
        self,
        make: Callable[[Reading, Sequence[Ref]], Sequence[Ref]],
        reading: Reading,
        compression: Compression | None,
    ) -> Sequence[Ref]:
        inputs = [
            Ref(local=LiveTree(ref.local)) if ref.local is not None and ref.local.live else ref
            for ref in self._inputs
        ]
        results = make(reading, inputs)
        self._materialise(results, compression)
        for index, ref in enumerate(inputs):
            digest = self._digesters.get(index)
            if digest is not None and ref.local is not None and ref.local.live:
                self._context.revise(index, None if reading.changed else digest(ref))
        if reading.changed:
            self._context.emit(WarningEvent(self._context.digest, NOT_REMEMBERED))
        return results

    def _materialise(self, results: Sequence[Ref], compression: Compression | None) -> None:
        cancel = self._context.cancel
        for ref in results:
            if ref.snapshot is None:
                continue
            try:
                if compression is None:
                    self._refs.lay_out(ref.snapshot, cancel)
                else:
                    self._refs.packer.pack_plan(ref, compression, cancel)
            finally:
                self._refs.drop_plan(ref.snapshot)

"""Clients' directories that a step mounts, and that can change while it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.events import WarningEvent
from lamina.ops.live_inputs import NOT_REMEMBERED
from lamina.refs.live_tree import LiveTree
from lamina.refs.ref import Ref
from lamina.refs.selection import digest_selection

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lamina.refs.selection import Selector
    from lamina.solver.contract import OpContext


class BoundFolders:
    """The inputs of one run of a command, as `inputs`.

    The digests of the directories when the command starts are passed to `OpContext.revise`. Call
    `verify` when the command has ended.

    Args:
        read: the part of each input that is in the key, by index.
    """

    def __init__(
        self,
        context: OpContext,
        inputs: Sequence[Ref],
        read: Mapping[int, Sequence[Selector]],
    ) -> None:
        self._context = context
        self._views: list[tuple[int, LiveTree, Sequence[Selector]]] = []
        made = list(inputs)
        for index, ref in enumerate(inputs):
            if ref.local is None or not ref.local.live:
                continue
            view = LiveTree(ref.local)
            made[index] = Ref(local=view)
            if index in read:
                context.revise(index, digest_selection(view, read[index]))
                self._views.append((index, view, read[index]))
        self.inputs = tuple(made)

    def verify(self) -> None:
        """Prevent that the result is stored if a directory changed while the command could read
        it."""
        changed = [index for index, view, selectors in self._views if not view.untouched(selectors)]
        for index in changed:
            self._context.revise(index, None)
        if changed:
            self._context.emit(WarningEvent(self._context.digest, NOT_REMEMBERED))

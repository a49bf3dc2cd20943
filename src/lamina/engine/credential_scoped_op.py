"""An op that asks registries for whoever waits for it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from lamina.engine.registries import asked_by

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lamina.base.digest import Digest
    from lamina.engine.registries import Asker
    from lamina.refs.ref import Ref
    from lamina.solver.contract import CacheMap, Op, OpContext
    from lamina.sources.material import Material


class AskedOp:
    """Implements `lamina.solver.contract.Op` by another one.

    Args:
        askers: the builds that wait, at the moment of a call.
    """

    def __init__(self, op: Op[Ref], askers: Callable[[], Sequence[Asker]]) -> None:
        self._op = op
        self._askers = askers

    def cache_map(self, context: OpContext) -> CacheMap:
        with asked_by(self._askers):
            found = self._op.cache_map(context)
        dependencies = (
            each if each.content is None else each._replace(content=partial(self._of, each.content))
            for each in found.dependencies
        )
        return found._replace(dependencies=tuple(dependencies))

    def execute(self, context: OpContext, inputs: Sequence[Ref]) -> Sequence[Ref]:
        with asked_by(self._askers):
            return self._op.execute(context, inputs)

    def material(self) -> Material | None:
        """What it turned out to be, if it is a source; see `lamina.sources.contract.Source`."""
        from lamina.ops.source import SourceOperation

        return self._op.material() if isinstance(self._op, SourceOperation) else None

    def _of(self, content: Callable[[Ref], Digest], result: Ref) -> Digest:
        with asked_by(self._askers):
            return content(result)

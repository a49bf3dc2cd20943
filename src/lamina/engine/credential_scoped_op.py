"""An op whose registry requests use the credentials of the builds that wait for it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from lamina.engine.registries import on_behalf_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lamina.base.digest import Digest
    from lamina.engine.registries import RegistryRequester
    from lamina.refs.ref import Ref
    from lamina.solver.contract import CacheMap, Op, OpContext
    from lamina.sources.material import Material


class CredentialScopedOp:
    """Wraps an op and implements `lamina.solver.contract.Op`.

    Args:
        requesters: returns the builds that currently wait for the op.
    """

    def __init__(self, op: Op[Ref], requesters: Callable[[], Sequence[RegistryRequester]]) -> None:
        self._op = op
        self._askers = requesters

    def cache_map(self, context: OpContext) -> CacheMap:
        with on_behalf_of(self._askers):
            found = self._op.cache_map(context)
        dependencies = (
            each if each.content is None else each._replace(content=partial(self._of, each.content))
            for each in found.dependencies
        )
        return found._replace(dependencies=tuple(dependencies))

    def execute(self, context: OpContext, inputs: Sequence[Ref]) -> Sequence[Ref]:
        with on_behalf_of(self._askers):
            return self._op.execute(context, inputs)

    def material(self) -> Material | None:
        """The material that it resolved to, if it is a source; see
        `lamina.sources.contract.Source`."""
        from lamina.ops.source import SourceOperation

        return self._op.material() if isinstance(self._op, SourceOperation) else None

    def _of(self, content: Callable[[Ref], Digest], result: Ref) -> Digest:
        with on_behalf_of(self._askers):
            return content(result)


def material_of(op: Op[Ref] | None) -> Material | None:
    """The material of a vertex's op, if the op is a source that was resolved."""
    return op.material() if isinstance(op, CredentialScopedOp) else None

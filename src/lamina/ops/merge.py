"""The merge and diff ops: stack differences, and take the difference of two inputs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.digest import digest_of
from lamina.base.gojson import encode
from lamina.llb.gojson import message
from lamina.refs.ref import Ref
from lamina.solver.contract import CacheMap, Dependency

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lamina.llb.op import DiffOp, MergeOp
    from lamina.refs.manager import RefManager
    from lamina.solver.contract import OpContext


class MergeOperation:
    """Stacks the file systems of its inputs, later ones on top (`pb.MergeOp`)."""

    def __init__(self, op: MergeOp, inputs: int, refs: RefManager) -> None:
        self._op = op
        self._inputs = inputs
        self._refs = refs

    def cache_map(self, context: OpContext) -> CacheMap:
        document = {"Type": "buildkit.merge.v0", "Merge": message(self._op)}
        return CacheMap(digest_of(encode(document)), (Dependency(),) * self._inputs)

    def execute(self, context: OpContext, inputs: Sequence[Ref]) -> Sequence[Ref]:
        refs = [
            self._refs.owned(inputs[entry.input], context.cancel)
            for entry in self._op.inputs
            if entry.input >= 0
        ]
        return [self._refs.stacker.merge(refs, context.cancel)]


class DiffOperation:
    """Returns the difference of `upper` from `lower` (`pb.DiffOp`)."""

    def __init__(self, op: DiffOp, inputs: int, name: str, refs: RefManager) -> None:
        self._op = op
        self._inputs = inputs
        self._name = name
        self._refs = refs

    def cache_map(self, context: OpContext) -> CacheMap:
        document = {"Type": "buildkit.diff.v0", "Diff": message(self._op)}
        return CacheMap(digest_of(encode(document)), (Dependency(),) * self._inputs)

    def execute(self, context: OpContext, inputs: Sequence[Ref]) -> Sequence[Ref]:
        lower = self._input(self._op.lower.input if self._op.lower else -1, inputs)
        upper = self._input(self._op.upper.input if self._op.upper else -1, inputs)
        if (lower.snapshot, lower.local) == (upper.snapshot, upper.local):
            return [Ref()]
        if lower.snapshot is None and lower.local is None:
            return [upper]
        between = self._refs.stacker.between(lower, upper)
        if between is None:
            return [self._refs.stacker.difference(lower, upper, self._name, context.cancel)]
        result = Ref()
        for snapshot in between:
            result = self._refs.stacker.restack(snapshot, result, context.cancel)
        return [result]

    @staticmethod
    def _input(index: int, inputs: Sequence[Ref]) -> Ref:
        return inputs[index] if index >= 0 else Ref()

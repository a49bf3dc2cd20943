"""The passthrough op: returns some of its inputs when all of them are done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.digest import digest_of
from lamina.base.gojson import encode
from lamina.llb.gojson import message
from lamina.solver.contract import CacheMap, Dependency

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lamina.llb.op import PassthroughOp
    from lamina.refs.ref import Ref
    from lamina.solver.contract import OpContext


class PassthroughOperation:
    """Returns some of its inputs (`pb.PassthroughOp`), and only waits for the others."""

    def __init__(self, op: PassthroughOp, inputs: int) -> None:
        self._op = op
        self._inputs = inputs

    def cache_map(self, context: OpContext) -> CacheMap:
        document = {"Type": "buildkit.passthrough.v0", "Passthrough": message(self._op)}
        return CacheMap(digest_of(encode(document)), (Dependency(),) * self._inputs)

    def execute(self, context: OpContext, inputs: Sequence[Ref]) -> Sequence[Ref]:
        return [inputs[index] for index in self._op.outputs]

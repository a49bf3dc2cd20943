"""The build op: a definition that another step wrote, solved in its place (`pb.BuildOp`)."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

from lamina.base.digest import digest_of
from lamina.base.errors import InvalidInput
from lamina.base.gojson import encode
from lamina.llb.codec import decode_definition
from lamina.llb.gojson import message
from lamina.solver.contract import CacheMap, Dependency
from lamina.system.regular import read_regular

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lamina.llb.op import BuildOp, Definition
    from lamina.refs.manager import RefManager
    from lamina.refs.ref import Ref
    from lamina.solver.contract import OpContext

_LLB_BUILDER = -1
_INPUT = "buildkit.llb.definition"
_FILENAME = "llbbuild.filename"
_DEFAULT_FILE = _INPUT
_LIMIT = 256 << 20
_DEEPEST = 100  # each blocks a thread until the next is done
_depth = ContextVar("depth of build ops", default=0)


class BuildOperation:
    """Runs a BuildOp.

    Args:
        solve: solves a definition for the builds that wait for this op.
    """

    def __init__(
        self, op: BuildOp, inputs: int, refs: RefManager, solve: Callable[[Definition], Ref]
    ) -> None:
        self._op = op
        self._inputs = inputs
        self._refs = refs
        self._solve = solve

    def cache_map(self, context: OpContext) -> CacheMap:
        op = self._op
        exec_: dict[str, object] = {"builder": op.builder} if op.builder else {}
        if op.inputs:
            exec_["inputs"] = {name: message(place) for name, place in sorted(op.inputs)}
        if op.definition is not None:
            # No client sends one, and BuildKit ignores it.
            exec_["def"] = repr(op.definition)
        if op.attrs:
            exec_["attrs"] = dict(sorted(op.attrs))
        document = {"Type": "buildkit.build.v0", "Exec": exec_}
        return CacheMap(digest_of(encode(document)), (Dependency(),) * self._inputs)

    def execute(self, context: OpContext, inputs: Sequence[Ref]) -> Sequence[Ref]:
        if self._op.builder != _LLB_BUILDER:
            raise InvalidInput("only LLB builder is currently allowed")
        wanted = dict(self._op.inputs).get(_INPUT)
        if wanted is None or not 0 <= wanted.input < len(inputs):
            raise InvalidInput(f"no llb definition input {_INPUT} found")
        name = dict(self._op.attrs).get(_FILENAME) or _DEFAULT_FILE
        tree = self._refs.tree(inputs[wanted.input], context.cancel)
        path, _ = tree.find(name, follow=True)
        definition = decode_definition(read_regular(tree.real(path), _LIMIT))
        depth = _depth.get() + 1
        if depth > _DEEPEST:
            raise InvalidInput(f"build ops are nested more than {_DEEPEST} deep")
        within = _depth.set(depth)
        try:
            return [self._solve(definition)]
        finally:
            _depth.reset(within)

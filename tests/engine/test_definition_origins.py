"""How long a build's calls are kept for the provenance of other calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.attest.contract import FrontendCall
from lamina.llb.op import Op, SourceOp
from lamina.llb.state import Vertex, marshal

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from tests.engine.conftest import Bench

    WithEngine = Callable[[Callable[[Bench], Any]], Any]

BASE = FrontendCall("dockerfile.v0", {"target": "base"})


def test_calls_are_dropped_with_their_build(with_engine: WithEngine) -> None:
    made = marshal(Vertex(Op(source=SourceOp("local://a"))).output())

    def use(bench: Bench) -> list[bool]:
        origins = bench.engine.services.definition_origins
        known = []
        with bench.build() as build:
            build.note_origin(made, BASE)
            known.append(bool(origins.of({"x": made})))
        known.append(bool(origins.of({"x": made})))
        build.note_origin(made, BASE)  # a call that came late
        known.append(bool(origins.of({"x": made})))
        return known

    assert with_engine(use) == [True, False, False]

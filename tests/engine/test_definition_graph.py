"""Converting definitions to the solver's graphs."""

from __future__ import annotations

from lamina.base.location import Location
from lamina.engine.definition_graph import load_graph
from lamina.llb.op import (
    Locations,
    Op,
    Position,
    Range,
    SourceInfo,
    SourceLocation,
    SourceMap,
    SourceOp,
)
from lamina.llb.state import Vertex, marshal


def located(*places: SourceLocation) -> Location | None:
    step = Vertex(Op(source=SourceOp("local://a")))
    infos = (SourceInfo("one", b"1"), SourceInfo("two", b"2", language="hcl"))
    source = SourceMap(((str(step.digest), Locations(places)),), infos)
    definition = marshal(step.output())._replace(source=source)
    graph = load_graph(definition, frozenset(), lambda _: None)
    return graph.vertices[0].location


def test_source_locations_of_steps() -> None:
    whole = SourceLocation(0, (Range(Position(3, 1), Position(4)),))
    begun = SourceLocation(1, (Range(Position(7)),))  # clients may omit the last op
    first = Location("one", 3, 4, "1", language="", character=1)
    second = Location("two", 7, 7, "2", language="hcl")
    assert located(whole) == first
    assert located(whole, begun) == first._replace(others=(second,))
    assert located(begun) == second


def test_places_that_are_nowhere() -> None:
    nowhere = (SourceLocation(2, (Range(Position(1)),)), SourceLocation(0), SourceLocation(-1))
    assert located(*nowhere) is None
    assert located(SourceLocation(0, (Range(),))) is None
    begun = SourceLocation(1, (Range(Position(7)),))
    assert located(*nowhere, begun) == Location("two", 7, 7, "2", language="hcl")

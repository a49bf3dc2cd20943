"""Graphs built in Python, and encoded definitions."""

from __future__ import annotations

from lamina.llb.op import Definition, Op, SourceInfo, SourceOp
from lamina.llb.state import Vertex, marshal, unmarshal

TEXT = SourceInfo("Dockerfile", b"FROM scratch", language="Dockerfile")


def vertex(name: str, text: SourceInfo, line: int, *parents: Vertex) -> Vertex:
    made = Vertex(Op(source=SourceOp(f"local://{name}")), tuple(p.output() for p in parents))
    made.source, made.lines = text, ((line, line),)
    return made


def texts(one: SourceInfo, other: SourceInfo) -> tuple[int, list[int]]:
    """The number of texts of one definition, and the text of each step."""
    made = marshal(vertex("b", other, 2, vertex("a", one, 1)).output())
    assert made.source is not None
    indices = [entry.locations[0].source_index for _, entry in made.source.locations]
    return len(made.source.infos), indices


def test_a_text_is_there_once() -> None:
    origin = marshal(Vertex(Op(source=SourceOp("local://dockerfile"))).output())
    elsewhere = marshal(Vertex(Op(source=SourceOp("local://other"))).output())
    known = TEXT._replace(definition=origin)
    again = TEXT._replace(definition=Definition(origin.ops))
    assert texts(TEXT, TEXT) == (1, [0, 0])
    assert texts(known, again) == (1, [0, 0]), "what is said of the origin makes no difference"
    assert texts(known, TEXT) == (1, [0, 0]), "its origin was lost on the way"
    assert texts(known, TEXT._replace(definition=elsewhere)) == (2, [0, 1])
    assert texts(known, known._replace(data=b"FROM scratch\n")) == (2, [0, 1])
    assert texts(known, known._replace(filename="other")) == (2, [0, 1])


def test_places_survive_the_way_there_and_back() -> None:
    made = marshal(vertex("b", TEXT, 2, vertex("a", TEXT, 1)).output())
    edge = unmarshal(made)
    assert edge is not None
    assert marshal(edge).source == made.source

"""Building definitions in Python: states are immutable, and equal ops are one op.

base = image("docker.io/library/alpine:latest")
built = run(base, ExecMeta(args=("make",), cwd="/src")).root
definition = marshal(built)
"""

from __future__ import annotations

from lamina.base.digest import Digest, digest_of
from lamina.base.errors import InvalidInput
from lamina.base.named_tuple import NamedTuple
from lamina.llb.codec import decode_op, encode_op
from lamina.llb.op import (
    Definition,
    Input,
    Locations,
    Op,
    OpMetadata,
    Position,
    Range,
    SourceInfo,
    SourceLocation,
    SourceMap,
)


class Vertex:
    """An op with its parents, known by the digest of its bytes. Compared by identity."""

    __slots__ = ("data", "digest", "lines", "metadata", "op", "parents", "source")

    def __init__(
        self,
        op: Op,
        parents: tuple[Edge, ...] = (),
        metadata: OpMetadata | None = None,
        source: SourceInfo | None = None,
        lines: tuple[tuple[int, int], ...] = (),
    ) -> None:
        """Make a vertex from an op without inputs and the edges that become its inputs.

        Args:
            op: the operation; its `inputs` are set from `parents`.
            parents: one edge per op input, in order.
            metadata: display name, ignore-cache and the like; not part of the identity.
            source: the text this op comes from, for error messages.
            lines: (first, last) 1-based line ranges in that text.
        """
        self.parents = parents
        self.op = op._replace(inputs=tuple(Input(e.vertex.digest, e.output) for e in parents))
        self.data = encode_op(self.op)
        self.digest: Digest = digest_of(self.data)
        self.metadata = metadata or OpMetadata()
        self.source = source
        self.lines = lines

    @classmethod
    def decoded(
        cls, data: bytes, op: Op, parents: tuple[Edge, ...], metadata: OpMetadata
    ) -> Vertex:
        """A vertex from encoded bytes, which are kept unchanged."""
        vertex = cls.__new__(cls)
        vertex.parents = parents
        vertex.op = op
        vertex.data = data
        vertex.digest = digest_of(data)
        vertex.metadata = metadata
        vertex.source = None
        vertex.lines = ()
        return vertex

    def output(self, index: int = 0) -> Edge:
        return Edge(self, index)


class Edge(NamedTuple):
    """One output of a vertex."""

    vertex: Vertex
    output: int = 0


def marshal(result: Edge) -> Definition:
    """Serialise everything that `result` needs: inputs before users, the result's op last."""
    ordered: dict[Digest, Vertex] = {}
    stack: list[tuple[Vertex, bool]] = [(result.vertex, False)]
    while stack:
        vertex, expanded = stack.pop()
        if vertex.digest in ordered:
            continue
        if expanded:
            ordered[vertex.digest] = vertex
            continue
        stack.append((vertex, True))
        stack.extend((edge.vertex, False) for edge in reversed(vertex.parents))
    last = Vertex(Op(), (result,))
    return Definition(
        ops=(*(vertex.data for vertex in ordered.values()), last.data),
        metadata=tuple((str(v.digest), v.metadata) for v in (*ordered.values(), last)),
        source=_source_map(list(ordered.values())),
    )


def unmarshal(definition: Definition) -> Edge | None:
    """The result of a definition, to build on; None for an empty file system.

    Raises InvalidInput, Corrupt.
    """
    if not definition.ops:
        return None
    metadata = dict(definition.metadata)
    locations = _locations(definition)
    known: dict[str, Vertex] = {}
    last: Vertex | None = None
    for data in definition.ops:
        op = decode_op(data)
        parents = []
        for entry in op.inputs:
            if entry.digest not in known:
                raise InvalidInput(f"a definition refers to {entry.digest}, which is not before it")
            parents.append(known[entry.digest].output(entry.output))
        last = Vertex.decoded(data, op, tuple(parents), OpMetadata())
        last.metadata = metadata.get(last.digest, last.metadata)
        last.source, last.lines = locations.get(last.digest, (None, ()))
        known[last.digest] = last
    if last is None or len(last.parents) != 1:
        raise InvalidInput("a definition must end in one result")
    return last.parents[0]


def _locations(
    definition: Definition,
) -> dict[str, tuple[SourceInfo, tuple[tuple[int, int], ...]]]:
    """By op: the text that it comes from, and the lines in it."""
    found = {}
    if definition.source is not None:
        infos = definition.source.infos
        for digest, entry in definition.source.locations:
            for place in entry.locations[:1]:
                lines = tuple((r.start.line, r.end.line) for r in place.ranges if r.start and r.end)
                if 0 <= place.source_index < len(infos) and lines:
                    found[digest] = (infos[place.source_index], lines)
    return found


def _source_map(vertices: list[Vertex]) -> SourceMap | None:
    infos: list[SourceInfo] = []
    locations: list[tuple[str, Locations]] = []
    for vertex in vertices:
        if vertex.source is None or not vertex.lines:
            continue
        place = _index_of_text(infos, vertex.source)
        ranges = tuple(Range(Position(first), Position(last)) for first, last in vertex.lines)
        location = SourceLocation(place, ranges)
        locations.append((str(vertex.digest), Locations((location,))))
    return SourceMap(tuple(locations), tuple(infos)) if infos else None


def _index_of_text(infos: list[SourceInfo], text: SourceInfo) -> int:
    """The index of a text, which is added if it is new."""
    for index, known in enumerate(infos):
        if known is text or _same_text(known, text):
            return index
    infos.append(text)
    return len(infos) - 1


def _same_text(one: SourceInfo, other: SourceInfo) -> bool:
    """Whether two texts are the same.

    A client may have lost or changed the description of a text's origin.
    """
    if (one.filename, one.language, one.data) != (other.filename, other.language, other.data):
        return False
    origins = [text.definition.ops for text in (one, other) if text.definition is not None]
    return len(origins) < 2 or origins[0][-1:] == origins[1][-1:]

"""Steps: operations that become LLB vertices after the whole Dockerfile is converted.

The paths to send of the build context are known only after the last COPY, but ops refer to inputs
by digest. So steps refer to each other as objects, and are encoded once, at the end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.llb.op import (
    DESCRIPTION_NAME,
    NO_INPUT,
    Op,
    OpMetadata,
    WorkerConstraints,
)
from lamina.llb.state import Edge, Vertex

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lamina.base.location import Location
    from lamina.llb.op import LinuxResources, OpProgressGroup, SourceInfo


class Inputs:
    """The inputs of an op that is being made: every distinct edge has one index."""

    def __init__(self, edges: Sequence[Edge | None]) -> None:
        self.edges: list[Edge] = []
        self._indexes: list[int] = []
        known: dict[tuple[str, int], int] = {}
        for edge in edges:
            if edge is None:
                self._indexes.append(NO_INPUT)
                continue
            key = (edge.vertex.digest, edge.output)
            if key not in known:
                known[key] = len(self.edges)
                self.edges.append(edge)
            self._indexes.append(known[key])

    def index(self, parent: int) -> int:
        """The index of the input for the parent number `parent`; NO_INPUT if it is empty."""
        return self._indexes[parent]

    def __len__(self) -> int:
        return len(self.edges)


class Step:
    """A future vertex. Compared by identity; None in place of a step is an empty tree.

    Args:
        make: makes the op from the indexes of its inputs.
        parents: steps that the op reads, in the order of its inputs.
        name: the name in progress displays.
        description: further (key, value) pairs of the op's metadata.
        source: the text that the step comes from; `location` is the position in it.
    """

    __slots__ = ("_make", "edge", "location", "metadata", "parents", "source")

    def __init__(
        self,
        make: Callable[[Inputs], Op],
        parents: tuple[Step | None, ...] = (),
        *,
        name: str = "",
        description: tuple[tuple[str, str], ...] = (),
        ignore_cache: bool = False,
        group: OpProgressGroup | None = None,
        resources: LinuxResources | None = None,
        source: SourceInfo | None = None,
        location: Location | None = None,
    ) -> None:
        self._make = make
        self.parents = parents
        named = ((DESCRIPTION_NAME, name),) if name else ()
        self.metadata = OpMetadata(
            ignore_cache=ignore_cache,
            description=tuple(sorted((*description, *named))),
            progress_group=group,
            linux_resources=resources,
        )
        self.source = source
        self.location = location
        self.edge: Edge | None = None

    @classmethod
    def given(cls, edge: Edge) -> Step:
        """A step for an existing definition."""
        step = cls(lambda _: edge.vertex.op)
        step.edge = edge
        return step

    def encode(self) -> None:
        """Make the vertex. All parents must have been encoded."""
        inputs = Inputs([None if p is None else p.edge for p in self.parents])
        op = self._make(inputs)._replace(constraints=WorkerConstraints())
        place = self.location
        vertex = Vertex(
            op,
            tuple(inputs.edges),
            self.metadata,
            self.source if place is not None else None,
            ((place.start, place.end),) if place is not None else (),
        )
        self.edge = vertex.output()


def encode(step: Step) -> Edge:
    """Make vertices of a step and all that it needs; return its output."""
    stack = [step]
    while stack:
        last = stack[-1]
        waiting = [p for p in last.parents if p is not None and p.edge is None]
        if last.edge is None and waiting:
            stack.extend(waiting)
            continue
        if last.edge is None:
            last.encode()
        stack.pop()
    assert step.edge is not None
    return step.edge

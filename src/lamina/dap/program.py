"""The steps of a build, in the order in which a debugger visits them.

A step is a vertex with lines in the Dockerfile. The steps of a stage come in their order. Those of
a stage that a step copies from follow that step, one level deeper: stepping in enters them,
stepping over runs them.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from lamina.base.named_tuple import NamedTuple
from lamina.llb.op import DESCRIPTION_NAME, NO_INPUT

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lamina.llb.op import Op
    from lamina.llb.state import Edge, Vertex


class Action(Enum):
    """How a paused build goes on."""

    CONTINUE = "continue"
    NEXT = "next"
    IN = "stepIn"
    OUT = "stepOut"


class Step(NamedTuple):
    """A step. `first` and `last` are its lines, from 1.

    `parent` is the file system that it changes, None if that is empty. `caller` is the index of the
    step that copies from its stage, -1 for the target.
    """

    vertex: Vertex
    first: int
    last: int
    parent: Edge | None
    depth: int
    caller: int

    @property
    def name(self) -> str:
        return dict(self.vertex.metadata.description).get(DESCRIPTION_NAME, "")


class Program:
    """The steps of one result."""

    def __init__(self, result: Edge | None, filename: str) -> None:
        self.steps: list[Step] = []
        self._filename = filename
        self._visited: set[str] = set()
        if result is not None:
            self._visit(result, 0, -1)

    def next_stop(self, index: int, action: Action, stops: Callable[[Step], bool]) -> int | None:
        """The index of the next step to pause before, None if the build runs to its end.

        Args:
            index: the current step, -1 before the first.
            stops: whether there is a breakpoint on a step.
        """
        depth = self.steps[index].depth if index >= 0 else 0
        for number in range(index + 1, len(self.steps)):
            step = self.steps[number]
            match action:
                case Action.IN:
                    wanted = True
                case Action.NEXT:
                    wanted = step.depth <= depth
                case Action.OUT:
                    wanted = step.depth < depth
                case Action.CONTINUE:
                    wanted = False
            if wanted or stops(step):
                return number
        return None

    def stack(self, index: int) -> list[int]:
        """The steps that are active at a step: itself, and those that copy from its stage."""
        found = []
        while index >= 0:
            found.append(index)
            index = self.steps[index].caller
        return found

    def find(self, digest: str) -> int | None:
        """The step of a vertex."""
        numbers = (n for n, step in enumerate(self.steps) if step.vertex.digest == digest)
        return next(numbers, None)

    def line_of(self, line: int) -> int | None:
        """The first line of the step at or after a line, None if there is none."""
        at = [step.first for step in self.steps if step.first <= line <= step.last]
        after = [step.first for step in self.steps if step.first > line]
        return max(at, default=None) or min(after, default=None)

    def _visit(self, edge: Edge, depth: int, caller: int) -> None:
        chain: list[tuple[Vertex, int]] = []
        at: Edge | None = edge
        while at is not None and at.vertex.digest not in self._visited:
            self._visited.add(at.vertex.digest)
            index = parent_index(at.vertex.op, len(at.vertex.parents))
            chain.append((at.vertex, index))
            at = at.vertex.parents[index] if index >= 0 else None
        for vertex, index in reversed(chain):
            number = self._add(vertex, index, depth, caller)
            inside = depth if number == caller else depth + 1
            for other, parent in enumerate(vertex.parents):
                if other != index:
                    self._visit(parent, inside, number)

    def _add(self, vertex: Vertex, index: int, depth: int, caller: int) -> int:
        """Add a vertex, if it is a step. Returns the step that its other inputs belong to."""
        source = vertex.source
        if source is None or source.filename != self._filename or not vertex.lines:
            return caller
        first, last = vertex.lines[0]
        if caller >= 0 and self.steps[caller].first == first:
            return caller  # a part of the same instruction
        parent = vertex.parents[index] if index >= 0 else None
        self.steps.append(Step(vertex, first, last, parent, depth, caller))
        return len(self.steps) - 1


def parent_index(op: Op, inputs: int) -> int:
    """The input that is the file system which an op changes, -1 if there is none."""
    found: Sequence[int] = ()
    if op.exec is not None:
        found = [mount.input for mount in op.exec.mounts if mount.dest == "/"]
    elif op.file is not None:
        found = [action.input for action in op.file.actions]
    elif op.merge is not None:
        found = [item.input for item in op.merge.inputs]
    return next((index for index in found if NO_INPUT < index < inputs), -1)

"""The order in which a debugger visits steps."""

from __future__ import annotations

from lamina.dap.program import Action, Program
from lamina.llb.op import (
    DESCRIPTION_NAME,
    ExecMeta,
    ExecOp,
    MergeInput,
    MergeOp,
    Mount,
    Op,
    OpMetadata,
    SourceInfo,
    SourceOp,
)
from lamina.llb.state import Edge, Vertex

SOURCE = SourceInfo("Dockerfile", b"")


def vertex(op: Op, line: int, *parents: Edge, last: int = 0) -> Edge:
    metadata = OpMetadata(description=((DESCRIPTION_NAME, f"line {line}"),))
    lines = ((line, last or line),) if line else ()
    return Vertex(op, parents, metadata, SOURCE if line else None, lines).output()


def source(name: str, line: int) -> Edge:
    return vertex(Op(source=SourceOp(f"docker-image://{name}")), line)


def run(command: str, line: int, parent: Edge, *others: Edge, last: int = 0) -> Edge:
    mounts = [Mount(0, dest="/")]
    mounts += [Mount(number, dest=f"/{number}") for number in range(1, len(others) + 1)]
    op = ExecOp(ExecMeta((command,)), tuple(mounts))
    return vertex(Op(exec=op), line, parent, *others, last=last)


def lines(program: Program) -> list[tuple[int, int]]:
    return [(step.first, step.depth) for step in program.steps]


def test_stages_follow_the_step_that_reads_them() -> None:
    base = source("base", 1)
    tools = run("tools", 3, run("more", 2, base))
    context = vertex(Op(source=SourceOp("local://context")), 0)
    first = run("first", 5, base, context)
    result = run("last", 7, run("uses", 6, first, tools), last=9)
    program = Program(result, "Dockerfile")
    assert lines(program) == [(1, 0), (5, 0), (6, 0), (2, 1), (3, 1), (7, 0)]
    assert program.stack(4) == [4, 2]
    assert program.steps[3].parent is not None
    assert program.steps[0].parent is None

    def stop(step: object) -> bool:
        return False

    assert program.next_stop(-1, Action.IN, stop) == 0
    assert program.next_stop(2, Action.NEXT, stop) == 5
    assert program.next_stop(2, Action.IN, stop) == 3
    assert program.next_stop(3, Action.OUT, stop) == 5
    assert program.next_stop(2, Action.CONTINUE, stop) is None
    assert program.next_stop(-1, Action.CONTINUE, lambda step: step.first == 3) == 4
    assert program.next_stop(5, Action.OUT, stop) is None
    assert [program.line_of(line) for line in (1, 4, 8, 9, 10)] == [1, 5, 7, 7, None]


def test_parts_of_one_instruction_are_one_step() -> None:
    base = source("base", 1)
    copied = run("part", 2, source("scratch", 0))
    merged = Op(merge=MergeOp((MergeInput(0), MergeInput(1))))
    program = Program(vertex(merged, 2, base, copied), "Dockerfile")
    assert lines(program) == [(1, 0), (2, 0)]


def test_long_stages_and_empty_results() -> None:
    edge = source("base", 1)
    for line in range(2, 5000):
        edge = run(str(line), line, edge)
    assert len(Program(edge, "Dockerfile").steps) == 4999
    assert Program(edge, "other").steps == []
    assert Program(None, "Dockerfile").steps == []

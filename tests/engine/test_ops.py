"""Ops that API clients can send, but Dockerfiles never contain."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from lamina.base.errors import LaminaError
from lamina.llb.codec import encode_definition
from lamina.llb.op import (
    NO_INPUT,
    NO_OUTPUT,
    BuildInput,
    BuildOp,
    CopyAction,
    Definition,
    DiffInput,
    DiffOp,
    ExecMeta,
    ExecOp,
    FileAction,
    FileOp,
    MergeInput,
    MergeOp,
    MkDirAction,
    MkFileAction,
    Mount,
    Op,
    PassthroughOp,
    RmAction,
    SourceOp,
)
from lamina.llb.state import Edge, Vertex, marshal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.engine.conftest import Bench

    WithEngine = Callable[[Callable[[Bench], Any]], Any]


def file(path: str, text: str, base: Edge | None = None) -> Edge:
    action = FileAction(
        NO_INPUT if base is None else 0,
        NO_INPUT,
        0,
        mkfile=MkFileAction(path, 0o644, text.encode(), timestamp=1),
    )
    return Vertex(Op(file=FileOp((action,))), () if base is None else (base,)).output()


def removed(path: str, base: Edge) -> Edge:
    action = FileAction(0, NO_INPUT, 0, rm=RmAction(path))
    return Vertex(Op(file=FileOp((action,))), (base,)).output()


def diff(lower: Edge, upper: Edge) -> Edge:
    op = DiffOp(DiffInput(0), DiffInput(1))
    return Vertex(Op(diff=op), (lower, upper)).output()


def merge(*inputs: Edge) -> Edge:
    op = MergeOp(tuple(MergeInput(index) for index in range(len(inputs))))
    return Vertex(Op(merge=op), inputs).output()


def test_a_build_op_solves_what_another_step_wrote(with_engine: WithEngine) -> None:
    inner = marshal(file("/made", "by the inner one"))
    data = encode_definition(inner)
    action = FileAction(
        NO_INPUT, NO_INPUT, 0, mkfile=MkFileAction("/buildkit.llb.definition", 0o644, data)
    )
    holder = Vertex(Op(file=FileOp((action,)))).output()
    op = BuildOp(-1, (("buildkit.llb.definition", BuildInput(0)),))
    outer = marshal(Vertex(Op(build=op), (holder,)).output())
    assert with_engine(lambda bench: bench.tree(outer)) == {"made": "by the inner one"}


def test_a_build_op_without_its_definition(with_engine: WithEngine) -> None:
    op = BuildOp(-1, (("buildkit.llb.definition", BuildInput(0)),))
    outer = marshal(Vertex(Op(build=op), (file("/other", ""),)).output())
    with pytest.raises(LaminaError, match="not found"):
        with_engine(lambda bench: bench.tree(outer))


def test_a_diff_between_strangers_on_a_third(with_engine: WithEngine) -> None:
    lower = file("/gone", "x", file("/same", "s", file("/changed", "old")))
    upper = file("/new", "n", file("/changed", "new", file("/same", "s")))
    onto = file("/gone", "still here", file("/own", "o"))
    found = with_engine(lambda bench: bench.tree(marshal(merge(onto, diff(lower, upper)))))
    assert found == {"changed": "new", "new": "n", "own": "o"}


def test_diffs_of_equal_inputs_and_of_scratch(with_engine: WithEngine) -> None:
    state = file("/a", "a")
    assert with_engine(lambda bench: bench.tree(marshal(diff(state, state)))) == {}
    nothing = DiffOp(DiffInput(NO_INPUT), DiffInput(0))
    whole = Vertex(Op(diff=nothing), (state,)).output()
    assert with_engine(lambda bench: bench.tree(marshal(whole))) == {"a": "a"}


def test_a_diff_takes_removals_along(with_engine: WithEngine) -> None:
    base = file("/b", "b", file("/a", "a"))
    change = diff(base, removed("/a", base))
    onto = file("/c", "c", file("/a", "other"))
    assert with_engine(lambda bench: bench.tree(marshal(merge(onto, change)))) == {"c": "c"}


def test_one_difference_twice_in_a_stack(with_engine: WithEngine) -> None:
    one, other = file("/f", "one"), file("/f", "other")
    found = with_engine(lambda bench: bench.tree(marshal(merge(one, other, one))))
    assert found == {"f": "one"}


def test_a_diff_that_only_removes_has_no_files(with_engine: WithEngine) -> None:
    folder = Vertex(Op(file=FileOp((FileAction(-1, -1, 0, mkdir=MkDirAction("/d", 0o755)),))))
    base = file("/d/b", "b", file("/d/a", "a", folder.output()))
    change = diff(base, removed("/d/a", base))
    onto = file("/d/a", "still here", base)

    def use(bench: Bench) -> Any:
        # Even if it is laid out first, it must still remove the files afterwards.
        return bench.tree(marshal(change)), bench.tree(marshal(merge(onto, change)))

    assert with_engine(use) == ({"d": "/"}, {"d": "/", "d/b": "b"})
    assert with_engine(use) == ({"d": "/"}, {"d": "/", "d/b": "b"})


def test_a_diff_with_a_replaced_directory_merges_as_in_buildkit(with_engine: WithEngine) -> None:
    folder = Vertex(Op(file=FileOp((FileAction(-1, -1, 0, mkdir=MkDirAction("/d", 0o755)),))))
    base = file("/d/old", "old", folder.output())
    gone = FileAction(0, NO_INPUT, NO_OUTPUT, rm=RmAction("/d"))
    again = FileAction(1, NO_INPUT, 0, mkdir=MkDirAction("/d", 0o755))
    anew = Vertex(Op(file=FileOp((gone, again))), (base,)).output()
    onto = file("/d/other", "other", base)
    found = with_engine(
        lambda bench: bench.tree(marshal(merge(onto, diff(base, file("/d/new", "new", anew)))))
    )
    assert found == {"d": "/", "d/new": "new", "d/other": "other"}


def test_actions_branch_and_copy_from_each_other(with_engine: WithEngine) -> None:
    def mkfile(source: int, output: int, name: str) -> FileAction:
        return FileAction(source, NO_INPUT, output, mkfile=MkFileAction(name, 0o644, b"x"))

    actions = (
        mkfile(NO_INPUT, NO_OUTPUT, "/first"),  # result 0
        mkfile(0, 0, "/left"),  # 1, from 0
        mkfile(0, NO_OUTPUT, "/right"),  # 2, from 0 too
        FileAction(2, NO_INPUT, NO_OUTPUT, mkdir=MkDirAction("/d", 0o755)),  # 3
        FileAction(3, 1, 1, copy=CopyAction("/left", "/d/", mode=-1, timestamp=-1)),
    )
    vertex = Vertex(Op(file=FileOp(actions)))
    found = with_engine(
        lambda bench: [bench.tree(marshal(vertex.output(index))) for index in (0, 1)]
    )
    assert found == [
        {"first": "x", "left": "x"},
        {"first": "x", "right": "x", "d": "/", "d/left": "x"},
    ]


def test_an_output_that_is_not_there(with_engine: WithEngine) -> None:
    vertex = file("/a", "a").vertex
    with pytest.raises(LaminaError, match="no output 3"):
        with_engine(lambda bench: bench.tree(marshal(vertex.output(3))))


def test_an_exec_with_two_outputs_one_after_the_other(with_engine: WithEngine) -> None:
    folder = "/bin"
    local = Vertex(Op(source=SourceOp("local://tools"))).output()
    copy = CopyAction("/busybox", "/busybox", mode=-1, timestamp=-1)
    root = Vertex(Op(file=FileOp((FileAction(NO_INPUT, 0, 0, copy=copy),))), (local,)).output()
    script = "/busybox echo a > /a; /busybox echo b > /out/b"
    op = ExecOp(
        ExecMeta(("/busybox", "sh", "-c", script), cwd="/"),
        (Mount(0, dest="/", output=0), Mount(NO_INPUT, dest="/out", output=1)),
    )
    vertex = Vertex(Op(exec=op), (root,))

    def use(bench: Bench) -> Any:
        with bench.build({"tools": folder}) as build:
            first = build.solvable(marshal(vertex.output(1))).ref()
            second = build.solvable(marshal(vertex.output(0))).ref()
            refs = bench.engine.refs
            found = [refs.tree(ref, build.cancel).root for ref in (first, second)]
            return [sorted(set(os.listdir(root)) & {"a", "b"}) for root in found]

    assert with_engine(use) == [["b"], ["a"]]
    # The second time both come from the cache, and at first the first one without the second.
    assert with_engine(use) == [["b"], ["a"]]


def test_a_folder_that_is_the_result_keeps_its_hard_links(
    with_engine: WithEngine, tmp_path: Path
) -> None:
    lent = tmp_path / "lent"
    (lent / "d").mkdir(parents=True)
    (lent / "hidden").write_text("x")
    os.link(lent / "hidden", lent / "a")
    os.link(lent / "hidden", lent / "d/b")
    (lent / "alone").write_text("x")
    attrs = (("local.excludepatterns", '["hidden"]'),)
    local = Vertex(Op(source=SourceOp("local://it", attrs))).output()

    def use(bench: Bench) -> Any:
        with bench.build({"it": str(lent)}) as build:
            refs = bench.engine.refs
            ref = refs.owned(build.solvable(marshal(local)).ref(), build.cancel)
            root = refs.tree(ref, build.cancel).root
            inodes = [os.stat(os.path.join(root, path)).st_ino for path in ("a", "d/b", "alone")]
            return sorted(os.listdir(root)), inodes[0] == inodes[1], inodes[0] == inodes[2]

    assert with_engine(use) == (["a", "alone", "d"], True, False)


@pytest.mark.parametrize(
    ("attrs", "reason"),
    [
        (
            (("local.metadatatransfer", "maybe"),),
            'invalid value for local.metadatatransfer "maybe"',
        ),
        ((("local.metadatatransfer", "true"),), "local.metadatatransfer requires a daemon"),
    ],
)
def test_listings_of_folders_read_where_they_lie(
    with_engine: WithEngine, tmp_path: Path, attrs: tuple[tuple[str, str], ...], reason: str
) -> None:
    local = Vertex(Op(source=SourceOp("local://it", attrs))).output()
    with pytest.raises(LaminaError, match=reason):
        with_engine(lambda bench: bench.tree(marshal(local), folders={"it": str(tmp_path)}))


def tree_of(definition: Definition) -> Callable[[Bench], Any]:
    return lambda bench: bench.tree(definition)


def test_a_passthrough_returns_some_inputs_and_waits_for_all(with_engine: WithEngine) -> None:
    inputs = file("/one", "1"), file("/two", "2"), removed("/nothing", file("/three", "3"))

    def through(*given: Edge) -> Vertex:
        return Vertex(Op(passthrough=PassthroughOp("requires", (1, 0, 1))), given)

    works = through(*inputs[:2])
    for output, expected in enumerate(({"two": "2"}, {"one": "1"}, {"two": "2"})):
        wanted = tree_of(marshal(works.output(output)))
        assert with_engine(wanted) == expected
        assert with_engine(wanted) == expected, "once more, now that it is remembered"
    above = marshal(file("/more", "m", works.output(1)))
    assert with_engine(lambda bench: bench.tree(above)) == {"one": "1", "more": "m"}
    with pytest.raises(LaminaError, match="nothing"):
        with_engine(lambda bench: bench.tree(marshal(through(*inputs).output(0))))

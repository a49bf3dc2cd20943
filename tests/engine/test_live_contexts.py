"""Cached results of a directory that changes all the time match their digests."""

from __future__ import annotations

import os
import random
import shutil
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lamina.llb.op import (
    NO_INPUT,
    NO_OUTPUT,
    CopyAction,
    ExecMeta,
    ExecOp,
    FileAction,
    FileOp,
    Mount,
    Op,
    SourceOp,
)
from lamina.llb.state import Edge, Vertex, marshal
from lamina.refs.selection import Selector, digest_selection
from lamina.refs.tree import Tree
from lamina.solver.key import CONTENT_OUTPUT, make_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.engine.conftest import Bench

    WithEngine = Callable[[Callable[[Bench], Any]], Any]

ROUNDS = 60


class Writer:
    """Changes a directory at random, in a thread, during the block."""

    def __init__(self, folder: Path, seed: int) -> None:
        self._folder = folder
        self._random = random.Random(seed)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(self._random.random() / 200):
            with suppress(OSError):
                self.change()

    def change(self) -> None:
        some = self._random
        path = self._folder / some.choice(["a", "b", "c", "d/a", "d/b", "d/e/a", "l"])
        other = self._folder / some.choice(["a", "b", "d/f", "l2"])
        match some.randrange(7):
            case 0 | 1:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(some.choice(["one", "two", "three"]) * some.randrange(1, 5000))
            case 2:
                path.unlink()
            case 3:
                path.chmod(some.choice([0o644, 0o755, 0o600]))
            case 4:
                path.rename(other)
            case 5:
                path.unlink(missing_ok=True)
                path.symlink_to(some.choice(["a", "b", "/nowhere"]))
            case 6:
                if some.random() < 0.5:
                    os.link(path, other)
                else:
                    shutil.rmtree(self._folder / "d")


def _local(number: int) -> Edge:
    # Each build reads the directory again: a source with another name is another vertex.
    op = SourceOp("local://context", (("local.unique", str(number)),))
    return Vertex(Op(source=op)).output()


def _solve(bench: Bench, edge: Edge, folder: Path) -> tuple[Any, Any]:
    """The node of a definition's last op, and a view of its result."""
    definition = marshal(edge)
    with bench.build({"context": str(folder)}) as build:
        ref = build.solvable(definition).ref()
        (node,) = [node for node in build.job.nodes.values() if node.op and node.inputs]
        return node, Tree(bench.engine.refs.tree(ref, build.cancel).root, owner=(0, 0))


def test_copies_of_a_changing_folder(tmp_path: Path, with_engine: WithEngine) -> None:
    src = tmp_path / "context" / "src"
    (src / "d" / "e").mkdir(parents=True)

    def use(bench: Bench) -> int:
        remembered = 0
        for number in range(ROUNDS):
            with Writer(src, number):
                copy = CopyAction(src="/src", dest="/", mode=-1, timestamp=1)
                op = Op(file=FileOp((FileAction(NO_INPUT, 0, 0, copy=copy),)))
                edge = Vertex(op, (_local(number),)).output()
                node, made = _solve(bench, edge, src.parent)
            if node.key.ephemeral or node.cached:
                continue
            remembered += 1
            (part,) = [i for key in node.keys for i in key.inputs if i.output == CONTENT_OUTPUT]
            assert part.key == make_key(digest_selection(made, [Selector("/src")])).id
        return remembered

    assert with_engine(use) > 0


def test_copies_of_a_folder_that_is_changed_are_those_of_its_digest(
    tmp_path: Path, with_engine: WithEngine
) -> None:
    """Also if the result of the digest already exists."""
    src = tmp_path / "context" / "src"
    src.mkdir(parents=True)

    def use(bench: Bench) -> None:
        copy = CopyAction(src="/src", dest="/", mode=-1, timestamp=1)
        op = Op(file=FileOp((FileAction(NO_INPUT, 0, 0, copy=copy),)))
        for number, text in enumerate(("one", "two", "one", "two")):
            (src / "file").write_text(text)
            _, made = _solve(bench, Vertex(op, (_local(number),)).output(), src.parent)
            assert Path(made.real("src/file")).read_text() == text

    with_engine(use)


def test_a_command_that_only_reads_a_folder_is_cached(
    tmp_path: Path, with_engine: WithEngine
) -> None:
    context = tmp_path / "context"
    (context / "bin").mkdir(parents=True)
    shutil.copy("/bin/busybox", context / "bin" / "busybox")

    def use(bench: Bench) -> list[bool]:
        cached = []
        for number in range(2):
            root = Vertex(
                Op(
                    file=FileOp(
                        (
                            FileAction(
                                *(NO_INPUT, 0, 0),
                                copy=CopyAction(src="/bin", dest="/", mode=-1, timestamp=1),
                            ),
                        )
                    )
                ),
                (_local(number),),
            ).output()
            op = ExecOp(
                ExecMeta(("/bin/busybox", "cp", "/c/bin/busybox", "/made"), (), "/"),
                (
                    Mount(0, "", "/", output=0),
                    Mount(1, "", "/c", output=NO_OUTPUT, readonly=True),
                ),
            )
            edge = Vertex(Op(exec=op), (root, _local(number))).output()
            with bench.build({"context": str(context)}) as build:
                build.solvable(marshal(edge)).ref()
                (node,) = [n for n in build.job.nodes.values() if len(n.inputs) == 2]
                cached.append(node.cached)
        return cached

    assert with_engine(use) == [False, True]

"""Names of ops without a custom name."""

from __future__ import annotations

import pytest

from lamina.llb.names import op_name
from lamina.llb.op import (
    NO_INPUT,
    CopyAction,
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
    Op,
    RmAction,
    SourceOp,
    SymlinkAction,
)

_ACTIONS = (
    FileAction(copy=CopyAction("/a", "/b")),
    FileAction(mkdir=MkDirAction("/d")),
    FileAction(mkfile=MkFileAction("/f")),
    FileAction(rm=RmAction("/r")),
    FileAction(symlink=SymlinkAction("/old", "/new")),
)


@pytest.mark.parametrize(
    ("op", "name"),
    [
        (Op(source=SourceOp("git://u:secret@h/r")), "git://xxxxx:xxxxx@h/r"),
        (Op(exec=ExecOp(ExecMeta(("ls", "-l")))), "ls -l"),
        (
            Op(file=FileOp(_ACTIONS)),
            "copy /a /b, mkdir /d, mkfile /f, rm /r, symlink /new -> /old",
        ),
        (Op(merge=MergeOp((MergeInput(0), MergeInput(1)))), "merge (one, two)"),
        (Op(diff=DiffOp(DiffInput(0), DiffInput(1))), "diff one -> two"),
        (Op(diff=DiffOp(DiffInput(NO_INPUT), DiffInput(1))), "diff scratch -> two"),
    ],
)
def test_names(op: Op, name: str) -> None:
    assert op_name(op, ["one", "two"]) == name


def test_merges_of_merges_do_not_grow_without_end() -> None:
    name = "one"
    for _ in range(100):
        name = op_name(Op(merge=MergeOp((MergeInput(0), MergeInput(1)))), [name, name])
    assert len(name) < 5000

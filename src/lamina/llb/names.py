"""Names of ops without a custom name, equal to BuildKit's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.redact import redacted
from lamina.llb.op import NO_INPUT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lamina.llb.op import DiffInput, FileAction, Op

_LONGEST = 4096
"""The maximum number of characters: names of nested merges would grow without limit."""


def op_name(op: Op, inputs: Sequence[str]) -> str:
    """The name; `inputs` are those of the op's inputs. `op` has been checked."""
    name = _name(op, inputs)
    return name if len(name) <= _LONGEST else f"{name[:_LONGEST]}…"


def _name(op: Op, inputs: Sequence[str]) -> str:
    if op.source is not None:
        return redacted(op.source.identifier)
    if op.exec is not None:
        return " ".join(op.exec.meta.args) if op.exec.meta is not None else "exec"
    if op.file is not None:
        return ", ".join(map(_action, op.file.actions))
    if op.merge is not None:
        return f"merge ({', '.join(inputs)})"
    if op.diff is not None:
        return f"diff {_side(op.diff.lower, inputs)} -> {_side(op.diff.upper, inputs)}"
    if op.passthrough is not None:
        return f"passthrough {op.passthrough.id}"
    return "build" if op.build is not None else "op"


def _side(side: DiffInput | None, inputs: Sequence[str]) -> str:
    if side is None or side.input == NO_INPUT:
        return "scratch"
    return inputs[side.input]


def _action(action: FileAction) -> str:
    if action.copy is not None:
        return f"copy {action.copy.src} {action.copy.dest}"
    if action.mkfile is not None:
        return f"mkfile {action.mkfile.path}"
    if action.mkdir is not None:
        return f"mkdir {action.mkdir.path}"
    if action.rm is not None:
        return f"rm {action.rm.path}"
    if action.symlink is not None:
        return f"symlink {action.symlink.new_path} -> {action.symlink.old_path}"
    return "file"

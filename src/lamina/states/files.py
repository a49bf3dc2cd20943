"""File operations of states: copy, write, mkdir, remove, symlink."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput
from lamina.dockerfile.file_ops import clean_path, owner
from lamina.llb.op import FileAction, FileOp, Op
from lamina.states.node import Value

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lamina.dockerfile.graph import Inputs
    from lamina.llb.op import ChownOpt
    from lamina.states.caller import Caller
    from lamina.states.node import Evaluation

    # From the owner and the absolute destination, an action without its inputs.
    MakeAction = Callable[[ChownOpt | None, Callable[[str], str]], FileAction]

_SYMBOLIC = r"[ugoa]*(?:[-+=][rwxXstugo]*)+(?:,[ugoa]*(?:[-+=][rwxXstugo]*)+)*"


def read_mode(mode: int | str | None) -> tuple[int, str]:
    """The mode of a copy as (bits or -1 to keep those of the source, symbolic mode).

    Raises InvalidInput.
    """
    if mode is None:
        return -1, ""
    if isinstance(mode, int):
        if not 0 <= mode <= 0o7777:
            raise InvalidInput(f"invalid mode {mode:#o}", hint="use bits between 0 and 0o7777")
        return mode, ""
    if re.fullmatch(_SYMBOLIC, mode) is None:
        raise InvalidInput(f'invalid mode "{mode}"', hint="use 0o755, or u=rwX,go=rX")
    return 0, mode


def evaluate_file_op(
    actions: Sequence[MakeAction],
    chown: str,
    name: str,
    values: Sequence[Value],
    evaluation: Evaluation,
    caller: Caller | None,
) -> Value:
    """The value after some actions, each on the result of the one before.

    `values` are those of the state, and of the state that copies read, if there is one.
    """
    value, *sources = values
    config = value.config.copy()

    def absolute(path: str) -> str:
        return clean_path(posixpath.join("/", config.working_dir, path or "./"))

    def make(inputs: Inputs) -> Op:
        base = inputs.index(0)
        user = owner(chown, base)
        last = len(actions) - 1
        return Op(
            file=FileOp(
                tuple(
                    action(user, absolute)._replace(
                        input=base if number == 0 else len(inputs) + number - 1,
                        secondary_input=inputs.index(1) if sources else -1,
                        output=0 if number == last else -1,
                    )
                    for number, action in enumerate(actions)
                )
            )
        )

    trees = (value.tree, *(v.tree for v in sources))
    step = evaluation.step(make, trees, caller, name=name, group=value.group)
    config.note(name, layer=True)
    return Value(step, config, group=value.group)

"""What a failed exec op leaves: its inputs, and its mounts as they were when it failed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from lamina.base.errors import FailedStep, LaminaError
from lamina.base.redact import redacted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lamina.llb.op import ExecOp
    from lamina.ops.mounts import Change
    from lamina.refs.manager import RefManager
    from lamina.refs.ref import Ref
    from lamina.solver.contract import OpContext


_FULL = 1 << 20
"""A disk with less free bytes is full."""


def is_full(path: str) -> bool:
    """Whether the file system of a path is full."""
    status = os.statvfs(path)
    return status.f_bavail * status.f_frsize < _FULL


def failed_step(
    context: OpContext,
    op: ExecOp,
    inputs: Sequence[Ref],
    changes: Sequence[Change],
    refs: RefManager,
) -> FailedStep:
    """Commit the changes, and say what the step had and made.

    The snapshots are not results: no cache key leads to them. On a full disk the changes are
    discarded: they may be what fills it.
    """
    before = [
        inputs[mount.input] if 0 <= mount.input < len(inputs) else None for mount in op.mounts
    ]
    after = list(before)
    command = redacted(" ".join(op.meta.args if op.meta else ()))
    for change in changes:
        made_by = f"mount {change.dest} from failed exec {command}"
        if is_full(change.staged.path):
            refs.discard(change.staged)
            continue
        try:
            after[change.mount] = refs.commit(change.staged, change.parent, made_by)
        except (LaminaError, OSError):
            refs.discard(change.staged)
    return FailedStep(str(context.digest), inputs=tuple(before), mounts=tuple(after))

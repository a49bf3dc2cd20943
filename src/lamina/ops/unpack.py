"""ADD's other half: an archive among the sources is unpacked instead of copied."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from lamina.base.errors import from_os_error
from lamina.layers.apply import Whiteouts, apply_layer
from lamina.layers.archives import is_tar, plain
from lamina.ops.copy import Copier
from lamina.refs.selection import expand_wildcard
from lamina.refs.tree import Tree
from lamina.system.regular import open_regular

if TYPE_CHECKING:
    from lamina.llb.op import CopyAction
    from lamina.ops.copy import Owner
    from lamina.ops.modes import ModeChange
    from lamina.refs.plan import FilePlan
    from lamina.refs.pool import RefPool
    from lamina.solver.contract import OpContext


def unpack_archives(
    pool: RefPool,
    source: Tree,
    plan: FilePlan,
    action: CopyAction,
    owner: Owner | None,
    change: ModeChange | None,
    context: OpContext,
) -> bool:
    """Unpack the sources that are tar archives (plain, gzip, bzip2, xz, zstd) into the plan.

    Other sources of the same action are copied in between, in order. Returns False, with nothing
    done, if there is no archive.
    """
    pattern = action.src.strip("/")
    matches = expand_wildcard(source, pattern) if action.allow_wildcard else [(pattern, pattern)]
    if not any(_archive(source, real) for _, real in matches):
        return False
    for shown, real in matches:
        path = _archive(source, real)
        if path:
            _unpack(path, shown, pool, plan, action, owner, context)
            continue
        one = action._replace(src=f"/{shown}", allow_wildcard=False)
        Copier(source, plan, one, owner=owner, change=change, cancel=context.cancel).run()
    return True


def _archive(source: Tree, real: str) -> str:
    """The archive that a path of a tree is, or ""."""
    resolved = source.resolve(real)
    status = source.lstat(resolved)
    if status is None or not stat.S_ISREG(status.st_mode):
        return ""
    path = source.real(resolved)
    return path if is_tar(path) else ""


def _unpack(
    path: str,
    shown: str,
    pool: RefPool,
    plan: FilePlan,
    action: CopyAction,
    owner: Owner | None,
    context: OpContext,
) -> None:
    staged = pool.snapshots.stage()
    try:
        with open(open_regular(path), "rb") as file:
            applied = apply_layer(
                plain(file),
                staged.files,
                Whiteouts.REMOVE,
                context.cancel,
                subject=f"archive /{shown}",
            )
    except BaseException as error:
        pool.discard(staged)
        if isinstance(error, OSError):
            raise from_os_error(error, "read the archive") from error
        raise
    inner = action._replace(
        src="/",
        allow_wildcard=False,
        dir_copy_contents=True,
        attempt_unpack=False,
        # Patterns choose among files of the source; of an archive all is taken.
        include_patterns=(),
        exclude_patterns=(),
        always_replace=True,  # unlike a copy, an archive puts folders in the place of files
        dest=action.dest.rstrip("/") + "/",
    )
    Copier(
        Tree(staged.files),
        plan,
        inner,
        owner=owner,
        change=None,
        cancel=context.cancel,
        implied=frozenset(applied.implied),
    ).run()

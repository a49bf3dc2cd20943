"""Copies a client's directory, or a part of it, into the store."""

from __future__ import annotations

import stat
from itertools import chain
from typing import TYPE_CHECKING

from lamina.refs.live_tree import LiveTree
from lamina.refs.plan import FilePlan, plan_entry
from lamina.refs.reading import Reading, SourceChanged
from lamina.refs.ref import Ref

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from lamina.refs.manager import RefManager
    from lamina.refs.tree import Tree
    from lamina.system.cancel import Cancellation


def copy_folder(refs: RefManager, folder: Tree, path: str, cancel: Cancellation) -> Ref:
    """A snapshot of what is at `path` of a client's directory, inside the directories above it.

    If the client changes the directory meanwhile, the snapshot has the new content.
    """
    if not folder.live:
        return _commit(refs, _plan(folder, path, Reading()), folder)
    view = folder if isinstance(folder, LiveTree) else LiveTree(folder)
    try:
        return _laid_out(refs, _plan(view, path, Reading()), folder, cancel)
    except SourceChanged:
        plan = _plan(LiveTree(folder), path, Reading(tolerant=True))
        return _laid_out(refs, plan, folder, cancel)


def _commit(refs: RefManager, plan: FilePlan, folder: Tree) -> Ref:
    return refs.commit_plan(plan, Ref(), f"local source for {folder.name}")


def _laid_out(refs: RefManager, plan: FilePlan, folder: Tree, cancel: Cancellation) -> Ref:
    copy = _commit(refs, plan, folder)
    assert copy.snapshot is not None
    try:
        refs.lay_out(copy.snapshot, cancel)
    finally:
        refs.drop_plan(copy.snapshot)
    return copy


def _plan(tree: Tree, path: str, reading: Reading) -> FilePlan:
    plan = FilePlan(None, reading)
    links: dict[tuple[int, int], str] = {}
    for name, status in chain(_above(tree, path), _below(tree, path)):
        planned = plan_entry(tree, name, status, reading)
        if planned is None:
            continue
        if status.st_nlink > 1 and stat.S_ISREG(status.st_mode):
            first = links.setdefault((status.st_dev, status.st_ino), name)
            # The names of one file may be separate files now.
            if first != name and plan.entries[first].digest == planned.digest:
                planned = planned.linked(first)
        plan.entries[name] = planned
    return plan


def _above(tree: Tree, path: str) -> Iterator[tuple[str, os.stat_result]]:
    parts = path.split("/") if path else []
    for depth in range(len(parts)):
        name = "/".join(parts[: depth + 1])
        status = tree.lstat(name)
        if status is not None:
            yield name, status


def _below(tree: Tree, path: str) -> Iterator[tuple[str, os.stat_result]]:
    status = tree.lstat(path)
    return tree.walk(path) if status is not None and stat.S_ISDIR(status.st_mode) else iter(())

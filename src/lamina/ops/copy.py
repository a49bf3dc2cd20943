"""Plans a copy by BuildKit's rules: destination paths, and which metadata is kept."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput, NotFound
from lamina.base.named_tuple import NamedTuple
from lamina.refs.plan import FilePlan, PlannedFile, plan_entry
from lamina.refs.selection import Filter, contains_wildcard, expand_wildcard

if TYPE_CHECKING:
    from lamina.llb.op import CopyAction
    from lamina.ops.modes import ModeChange
    from lamina.refs.tree import Tree
    from lamina.system.cancel import Cancellation


class Owner(NamedTuple):
    uid: int
    gid: int


class _Level:
    """A directory of the source that is being copied, and its destination."""

    __slots__ = ("children", "path", "status", "target")

    def __init__(self, path: str, status: os.stat_result | None, target: str, source: Tree) -> None:
        self.path = path
        self.status = status
        self.target = target
        self.children = iter(source.children(path))


class Copier:
    """One copy action: from a tree, into a plan.

    Args:
        owner: who owns the copies; None keeps the source's owner.
        change: the change to the source's permission bits; None keeps them.
        implied: directories that the source only implies: if the destination has such a directory,
            or a link to one, its metadata is kept.
    """

    def __init__(
        self,
        source: Tree,
        plan: FilePlan,
        action: CopyAction,
        *,
        owner: Owner | None,
        change: ModeChange | None,
        cancel: Cancellation,
        implied: frozenset[str] = frozenset(),
    ) -> None:
        self._source = source
        self._implied = implied
        self._plan = plan
        self._action = action
        self._owner = owner
        self._change = change
        self._cancel = cancel
        self._filter = (
            Filter(action.include_patterns, action.exclude_patterns)
            if action.include_patterns or action.exclude_patterns
            else None
        )
        self._links: dict[tuple[int, int], str] = {}

    def run(self) -> None:
        """Plan the copy. Raises NotFound if nothing matches, InvalidInput if the destination is
        unsuitable."""
        action = self._action
        source = action.src.strip("/")
        if action.allow_wildcard:
            matches = expand_wildcard(self._source, source)
            if not matches:
                if action.allow_empty_wildcard and contains_wildcard(source):
                    return
                raise NotFound(
                    f'"/{source}": not found',
                    hint="the path is looked up in the source's root; check its spelling, and "
                    ".dockerignore if it is in the build context",
                )
        else:
            matches = [(source, source)]
        for shown, real in matches:
            self._copy_source(shown, real)

    def _copy_source(self, shown: str, real: str) -> None:
        action, plan = self._action, self._plan
        try:
            found, status = self._source.find(real, follow=action.follow_symlink)
        except NotFound as error:  # with the text that clients expect of a step that has started
            raise NotFound(f"{error.reason}: lstat /{real}: no such file or directory") from error
        is_directory = stat.S_ISDIR(status.st_mode)
        ends_in_slash = action.dest.endswith("/") or action.dest.endswith("/.")
        destination = plan.resolve(action.dest)
        parents = PlannedFile(
            stat.S_IFDIR | 0o755, *(self._owner or Owner(0, 0)), self._time(status)
        )
        if self._change is not None and action.mode >= 0 and not action.mode_str:
            # BuildKit sets only these nine bits on parent directories that it creates.
            parents = parents._replace(mode=stat.S_IFDIR | (action.mode & 0o777))
        if not action.create_dest_path:
            above = destination.rpartition("/")[0]
            if above and plan.lookup(above) is None:
                raise NotFound(f'"{action.dest}": its parent directory does not exist')
        if ends_in_slash and destination:
            plan.make_directories(destination, parents)
        existing = plan.lookup(destination) if destination else None
        lands_in = existing is not None and existing.is_directory if destination else True
        if (is_directory and not action.dir_copy_contents and lands_in) or (
            not is_directory and lands_in
        ):
            name = os.path.basename(shown.rstrip("/"))
            destination = f"{destination}/{name}" if destination else name
            if destination and not is_directory:
                destination = plan.resolve(destination, follow_last=False)
        if is_directory and action.dir_copy_contents and destination and not lands_in:
            if existing is not None:
                if not action.always_replace:
                    raise InvalidInput(
                        f"cannot copy to non-directory: /{destination}",
                        hint="the source is a directory and the destination is not",
                    )
                plan.remove(destination)
            above = destination.rpartition("/")[0]
            plan.make_directories(above, parents)
        elif destination:
            plan.make_directories(destination.rpartition("/")[0], parents)
        if is_directory:
            existing = plan.lookup(destination) if destination else None
            if destination and (existing is None or not existing.is_directory):
                if action.dir_copy_contents:
                    plan.make_directories(destination, parents)
                else:
                    self._put_directory(found, status, destination)
            # The destination directory keeps its own mode, owner and time.
            self._copy_children(found, destination)
        else:
            self._copy_entry(found, status, destination)

    def _put_directory(self, path: str, status: os.stat_result, destination: str) -> None:
        self._replaceable(destination, self._plan.lookup(destination), is_directory=True)
        self._put(destination, self._planned(path, status))

    def _put(self, destination: str, planned: PlannedFile | None) -> None:
        if planned is not None:
            self._plan.put(destination, planned)

    def _copy_children(self, top: str, destination: str) -> None:
        """Copy the content of a directory."""
        # The lowest parents, created only if something is copied into them.
        delayed: list[_Level] = []
        levels = [_Level(top, None, destination, self._source)]
        while levels:
            level = levels[-1]
            name, status = next(level.children, ("", None))
            if status is None:
                if levels.pop() in delayed[-1:]:
                    delayed.pop()
                continue
            child = f"{level.path}/{name}" if level.path else name
            target = f"{level.target}/{name}" if level.target else name
            is_directory = stat.S_ISDIR(status.st_mode)
            below_top = child[len(top) + 1 :] if top else child
            if self._filter is not None and not self._filter.takes(below_top):
                if is_directory:
                    levels.append(self._enter(child, status, target))
                    delayed.append(levels[-1])
                continue
            self._make_delayed(delayed)
            if not is_directory:
                self._copy_entry(child, status, target)
                continue
            inner = self._resolved_directory(target) if child in self._implied else None
            if inner is None:
                self._put_directory(child, status, target)
            levels.append(self._enter(child, status, target if inner is None else inner))

    def _enter(self, path: str, status: os.stat_result, target: str) -> _Level:
        self._cancel.check()
        return _Level(path, status, target, self._source)

    def _make_delayed(self, delayed: list[_Level]) -> None:
        for above in delayed:
            assert above.status is not None
            known = self._plan.lookup(above.target)
            if known is None or not known.is_directory:
                self._put(above.target, self._planned(above.path, above.status))
            else:
                bits = stat.S_IMODE(above.status.st_mode)
                self._plan.put(above.target, known._replace(mode=stat.S_IFDIR | bits))
        delayed.clear()

    def _resolved_directory(self, target: str) -> str | None:
        """The directory at a path of the destination, after following links; None if there is
        none."""
        existing = self._plan.lookup(target)
        if existing is not None and stat.S_ISLNK(existing.mode):
            target = self._plan.resolve(target)
            existing = self._plan.lookup(target)
        return target if not target or (existing is not None and existing.is_directory) else None

    def _copy_entry(self, path: str, status: os.stat_result, destination: str) -> None:
        self._replaceable(destination, self._plan.lookup(destination), is_directory=False)
        planned = self._planned(path, status)
        if planned is None:
            return
        if status.st_nlink > 1 and stat.S_ISREG(status.st_mode):
            first = self._links.setdefault((status.st_dev, status.st_ino), destination)
            # In a client's directory, the names of one file may now be different files.
            same = self._plan.entries.get(first)
            if first != destination and same is not None and same.digest == planned.digest:
                planned = planned.linked(first)
        self._plan.put(destination, planned)

    def _replaceable(
        self, destination: str, existing: PlannedFile | None, *, is_directory: bool
    ) -> None:
        if existing is None or existing.is_directory == is_directory:
            return
        if self._action.always_replace:
            self._plan.remove(destination)
        elif is_directory:
            raise InvalidInput(f"cannot copy to non-directory: /{destination}")
        else:
            raise InvalidInput(f"cannot replace to directory /{destination} with file")

    def _planned(self, path: str, status: os.stat_result) -> PlannedFile | None:
        planned = plan_entry(self._source, path, status, self._plan.reading)
        if planned is None:
            return None
        planned = planned._replace(mtime_ns=self._time(status))
        if self._owner is not None:
            planned = planned._replace(uid=self._owner.uid, gid=self._owner.gid)
        if self._change is not None and not stat.S_ISLNK(status.st_mode):
            bits = self._change.apply(status.st_mode)
            planned = planned._replace(mode=stat.S_IFMT(status.st_mode) | bits)
        return planned

    def _time(self, status: os.stat_result) -> int:
        timestamp = self._action.timestamp
        return timestamp if timestamp > 0 else status.st_mtime_ns

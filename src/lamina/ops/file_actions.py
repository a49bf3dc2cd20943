"""Applies the actions of a file op, which become plans on top of a base."""

from __future__ import annotations

import stat
import time
from collections import Counter
from typing import TYPE_CHECKING

from lamina.base.errors import (
    Cancelled,
    FailedStep,
    InvalidInput,
    LaminaError,
    NotFound,
    from_os_error,
)
from lamina.llb.check import action_order
from lamina.ops.copy import Copier, Owner
from lamina.ops.modes import parse_mode_change
from lamina.refs.live_tree import LiveTree
from lamina.refs.plan import FilePlan, PlannedFile
from lamina.refs.reading import SourceChanged
from lamina.refs.ref import Ref
from lamina.refs.selection import contains_wildcard, expand_wildcard
from lamina.system.regular import read_regular

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lamina.llb.op import ChownOpt, FileAction, FileOp, UserOpt
    from lamina.refs.manager import RefManager
    from lamina.refs.reading import Reading
    from lamina.refs.tree import Tree
    from lamina.solver.contract import OpContext
    from lamina.system.cancel import Cancellation

_DATABASE_LIMIT = 4 << 20
_NO_ID = (1 << 32) - 1


class FileActions:
    """The actions of one op. `name` describes the snapshots that they make.

    `reading` is the attempt at reading clients' directories.
    """

    def __init__(self, op: FileOp, name: str, refs: RefManager, reading: Reading) -> None:
        self._reading = reading
        self._op = op
        self._name = name
        self._refs = refs

    def run(self, context: OpContext, inputs: Sequence[Ref]) -> Sequence[Ref]:
        """The outputs of the op. Raises InvalidInput, NotFound, SourceChanged, which name the
        action."""
        drafts: dict[int, tuple[FilePlan, Ref]] = {}
        outputs: dict[int, tuple[FilePlan, Ref]] = {}
        count = len(inputs)
        shared = _shared(self._op.actions, count)
        for position in action_order(self._op, count):
            action = self._op.actions[position]
            context.cancel.check()
            draft = drafts.get(action.input)
            if draft is None:
                parent = inputs[action.input] if action.input >= 0 else Ref()
                parent = self._refs.owned(parent, context.cancel)
                draft = (self._refs.plan(parent, context.cancel, self._reading), parent)
            elif action.input in shared:
                draft = (draft[0].copy(), draft[1])
            try:
                self._apply(action, draft[0], inputs, drafts, context)
            except (Cancelled, SourceChanged) as error:
                step = error.step or FailedStep(str(context.digest), action=position)
                raise error.with_context(step=step) from error
            except LaminaError as error:
                made = {position: draft}
                if action.copy is not None and action.secondary_input in drafts:
                    made[action.secondary_input - count] = drafts[action.secondary_input]
                step = error.step or self._failed(context, position, inputs, made)
                raise error.with_context(step=step) from error
            drafts[count + position] = draft
            if action.output >= 0:
                outputs[action.output] = draft
        return [self._refs.commit_plan(*outputs[index], self._name) for index in sorted(outputs)]

    def _failed(
        self,
        context: OpContext,
        position: int,
        inputs: Sequence[Ref],
        made: dict[int, tuple[FilePlan, Ref]],
    ) -> FailedStep:
        """The failed step, with what its actions had made, by index."""
        mounts = tuple(
            self._refs.commit_plan(made[i][0].copy(), made[i][1], self._name) if i in made else None
            for i in range(len(self._op.actions))
        )
        return FailedStep(str(context.digest), action=position, inputs=tuple(inputs), mounts=mounts)

    def _source(
        self,
        index: int,
        inputs: Sequence[Ref],
        drafts: dict[int, tuple[FilePlan, Ref]],
        context: OpContext,
    ) -> Tree:
        """The source of a copy: an input, or the result of an earlier action."""
        if index in drafts:
            plan, parent = drafts[index]
            made = self._refs.commit_plan(plan.copy(), parent, self._name)
            return self._refs.tree(made, context.cancel)
        return self._refs.tree(inputs[index] if index >= 0 else Ref(), context.cancel)

    def _apply(
        self,
        action: FileAction,
        plan: FilePlan,
        inputs: Sequence[Ref],
        drafts: dict[int, tuple[FilePlan, Ref]],
        context: OpContext,
    ) -> None:
        if action.copy is not None:
            copy = action.copy
            source = self._source(action.secondary_input, inputs, drafts, context)
            owner = self._owner(copy.owner, inputs, context.cancel)
            change = parse_mode_change(-1 if copy.mode_str else copy.mode, copy.mode_str)
            if copy.attempt_unpack:
                from lamina.ops.unpack import unpack_archives

                if unpack_archives(self._refs, source, plan, copy, owner, change, context):
                    return
            Copier(source, plan, copy, owner=owner, change=change, cancel=context.cancel).run()
        elif action.mkdir is not None:
            mkdir = action.mkdir
            path = plan.resolve(mkdir.path)
            owner = self._owner(mkdir.owner, inputs, context.cancel) or Owner(0, 0)
            entry = PlannedFile(stat.S_IFDIR | mkdir.mode & 0o7777, *owner, _time(mkdir.timestamp))
            if mkdir.make_parents:
                plan.make_directories(path, entry)
            else:
                self._parent_exists(plan, path)
                if plan.lookup(path) is None:  # an existing file is not changed
                    plan.put(path, entry)
        elif action.mkfile is not None:
            mkfile = action.mkfile
            path = plan.resolve(mkfile.path)
            self._parent_exists(plan, path)
            existing = plan.lookup(path)
            if not path or (existing is not None and existing.is_directory):
                raise InvalidInput(f"/{path} is a directory")
            owner = self._owner(mkfile.owner, inputs, context.cancel) or Owner(0, 0)
            plan.put(
                path,
                PlannedFile(
                    stat.S_IFREG | mkfile.mode & 0o7777,
                    *owner,
                    _time(mkfile.timestamp),
                    size=len(mkfile.data),
                    data=mkfile.data,
                ),
            )
        elif action.symlink is not None:
            link = action.symlink
            path = plan.resolve(link.new_path, follow_last=False)
            self._parent_exists(plan, path)
            if not path or plan.lookup(path) is not None:
                raise InvalidInput(f"/{path} exists already")
            owner = self._owner(link.owner, inputs, context.cancel) or Owner(0, 0)
            plan.put(
                path,
                PlannedFile(
                    stat.S_IFLNK | 0o777, *owner, _time(link.timestamp), link=link.old_path
                ),
            )
        elif action.rm is not None:
            self._remove(plan, action)

    def _remove(self, plan: FilePlan, action: FileAction) -> None:
        assert action.rm is not None
        paths = [action.rm.path.strip("/")]
        if action.rm.allow_wildcard and contains_wildcard(paths[0]) and plan.base is not None:
            paths = [real for _, real in expand_wildcard(plan.base, paths[0])]
        for path in paths:
            resolved = plan.resolve(path, follow_last=False)
            if not resolved:
                raise InvalidInput("the root of a file system cannot be removed")
            if plan.lookup(resolved) is None:
                if not action.rm.allow_not_found:
                    raise NotFound(f'"/{path}": not found')
                continue
            plan.remove(resolved)

    def _parent_exists(self, plan: FilePlan, path: str) -> None:
        parent = path.rpartition("/")[0]
        found = plan.lookup(parent) if parent else None
        if parent and (found is None or not found.is_directory):
            raise NotFound(f'"/{parent}": the directory does not exist')

    def _owner(
        self, chown: ChownOpt | None, inputs: Sequence[Ref], cancel: Cancellation
    ) -> Owner | None:
        if chown is None or (chown.user is None and chown.group is None):
            return None
        # An unknown name is root, or the user's own group. BuildKit does this, and there are
        # Dockerfiles that rely on it.
        uid, gid = self._look_up(chown.user, inputs, "passwd", cancel) or (0, 0)
        if chown.group is not None:
            found = self._look_up(chown.group, inputs, "group", cancel)
            gid = gid if found is None else found[0]
        return Owner(uid, gid)

    def _look_up(
        self, user: UserOpt | None, inputs: Sequence[Ref], database: str, cancel: Cancellation
    ) -> tuple[int, int] | None:
        """The id of a user or group, and the group of a user; None if the name does not exist.

        Raises InvalidInput if there is no file system to look it up in.
        """
        if user is None:
            return 0, 0
        if user.by_name is None:
            # chown(2) does not change the owner for the highest number, so the owner is root.
            number = 0 if user.by_id in (None, 0xFFFFFFFF) else user.by_id
            return number, number if database == "passwd" else 0
        name = user.by_name.name
        if not 0 <= user.by_name.input < len(inputs):
            what = "user" if database == "passwd" else "group"
            raise InvalidInput(
                f'--chown: no {what} can be named "{name}" on an empty file system',
                hint="use a number",
            )
        tree = self._refs.tree(inputs[user.by_name.input], cancel)
        for fields in _rows(tree, database, self._reading):
            found = _number(fields, 2)
            if fields[0] == name and found is not None:
                return found, _number(fields, 3) or 0
        return None


def _rows(tree: Tree, database: str, reading: Reading) -> Iterator[list[str]]:
    """The fields of each line of `etc/passwd` or `etc/group`; none if there is no such file."""
    path = tree.resolve(f"etc/{database}")
    if tree.lstat(path) is None:
        return
    try:
        data = read_regular(tree.real(path), _DATABASE_LIMIT)
    except InvalidInput as error:
        raise InvalidInput(
            f"--chown: /etc/{database} of the image is no regular file of at most"
            f" {_DATABASE_LIMIT >> 20} MiB",
            hint="use numbers, or put a regular file there in a step before",
        ) from error
    except OSError as error:
        raise from_os_error(error, f"read /etc/{database} of the image") from error
    if isinstance(tree, LiveTree) and not tree.unchanged(path):
        reading.differs(tree.real(path))
    for line in data.decode("utf-8", "surrogateescape").split("\n"):
        yield line.split(":")


def _number(fields: list[str], index: int) -> int | None:
    """The number in a field of a user or group; None if it is not a number."""
    text = fields[index] if index < len(fields) else ""
    if not text.isascii() or not text.isdecimal() or len(text) > 10:
        return None
    number = int(text)
    return number if number < _NO_ID else None


def _shared(actions: Sequence[FileAction], inputs: int) -> set[int]:
    """The results that several actions or outputs use: each of them works on a copy."""
    uses: Counter[int] = Counter()
    for position, action in enumerate(actions):
        uses[action.input] += 1
        uses[inputs + position] += action.output >= 0
    return {index for index, count in uses.items() if count > 1 and index >= inputs}


def _time(timestamp: int) -> int:
    """The time of an op in nanoseconds; now if it is 0 or -1."""
    return timestamp if timestamp > 0 else time.time_ns()

"""Validates ops: indexes in range, required parts, valid paths.

Definitions come from clients, so all of this is checked. What only a file system or a registry
knows is checked when it is accessed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput
from lamina.llb.op import NO_INPUT, NO_OUTPUT, MountType, SecurityMode

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lamina.llb.op import (
        ChownOpt,
        DiffInput,
        ExecOp,
        FileAction,
        FileOp,
        Mount,
        Op,
        PassthroughOp,
        SourceOp,
        UserOpt,
    )

_MAX_NAME = 255  # the limits of Linux for a component of a path and for a path, in bytes
_MAX_PATH = 4095
_LIMITS = frozenset(  # the resources of `setrlimit`
    (
        *("core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile"),
        *("nproc", "rss", "rtprio", "rttime", "sigpending", "stack"),
    )
)
_UNLIMITED = (1 << 64) - 1  # the encoding of -1
_HIGHEST_ID = (1 << 32) - 1  # of a user or group


def check_op(op: Op) -> None:
    """Raise InvalidInput, which names the problem."""
    count = len(op.inputs)
    for index, entry in enumerate(op.inputs):
        if entry.output < 0:
            raise InvalidInput(f"input {index} has the output index {entry.output}")
    kinds = [kind for kind in op[1:8] if kind is not None]
    if len(kinds) != 1:
        raise InvalidInput(f"an op of {'several kinds' if kinds else 'no known kind'}")
    if op.source is not None:
        _check_source(op.source, count)
    elif op.exec is not None:
        _check_exec(op.exec, count)
    elif op.file is not None:
        _check_file(op.file, count)
    elif op.merge is not None:
        if not op.merge.inputs:
            raise InvalidInput("a merge of nothing")
        for part in op.merge.inputs:
            _check_input("a part of a merge", part.input, count)
    elif op.diff is not None:
        _check_side("lower", op.diff.lower, count)
        _check_side("upper", op.diff.upper, count)
    elif op.build is not None:
        for name, given in op.build.inputs:
            _check_input(f"the build's {name}", given.input, count, none=False)
    elif op.passthrough is not None:
        _check_passthrough(op.passthrough, count)


def action_order(op: FileOp, inputs: int) -> list[int]:
    """The indexes of a file op's actions, each after those whose results it uses.

    Raises InvalidInput on a loop.
    """
    ordered: list[int] = []
    begun: set[int] = set()
    done: set[int] = set()
    for first in range(len(op.actions)):
        stack = [first]
        while stack:
            place = stack[-1]
            if place in done:
                stack.pop()
                continue
            waiting = [used for used in _uses(op.actions[place], inputs) if used not in done]
            if not waiting:
                done.add(place)
                ordered.append(stack.pop())
                continue
            if place in begun:
                raise InvalidInput(f"action {place} of a file op needs its own result")
            begun.add(place)
            stack += waiting
    return ordered


def _uses(action: FileAction, inputs: int) -> list[int]:
    """The actions whose results an action needs."""
    read = (action.input, action.secondary_input if action.copy is not None else NO_INPUT)
    return [index - inputs for index in read if index >= inputs]


def _check_source(op: SourceOp, count: int) -> None:
    if count:
        raise InvalidInput("a source with inputs")
    _check_text("a source", (op.identifier, *(text for entry in op.attrs for text in entry)))


def _check_exec(op: ExecOp, count: int) -> None:
    meta = op.meta
    if meta is None or not meta.args:
        raise InvalidInput("an exec without a command")
    if op.security not in tuple(SecurityMode):
        raise InvalidInput(f"invalid security mode {op.security}")
    _check_text("a command", (*meta.args, *meta.env, meta.cwd, meta.user, meta.hostname))
    for limit in meta.ulimit:
        if limit.name not in _LIMITS:
            raise InvalidInput(f'there is no limit called "{limit.name}"')
        if limit.soft & _UNLIMITED > limit.hard & _UNLIMITED:
            raise InvalidInput(f"the soft limit of {limit.name} is higher than the hard one")
    if not any(mount.dest == "/" for mount in op.mounts):
        raise InvalidInput("an exec without a root mount")
    outputs: set[int] = set()
    for mount in op.mounts:
        _check_mount(mount, count)
        # Secrets and agents have no outputs, and clients leave the field at 0.
        if mount.output == NO_OUTPUT or mount.mount_type is not MountType.BIND:
            continue
        if not 0 <= mount.output < len(op.mounts):
            raise InvalidInput(f"the mount at {mount.dest} has the output index {mount.output}")
        if mount.output in outputs:
            raise InvalidInput(f"two mounts are output {mount.output} of an exec")
        outputs.add(mount.output)


def _check_mount(mount: Mount, count: int) -> None:
    _check_path(mount.dest)
    _check_path(mount.selector)
    kind = mount.mount_type
    if kind in (MountType.BIND, MountType.CACHE):
        _check_input(f"the mount at {mount.dest}", mount.input, count)
    parts = {
        MountType.CACHE: mount.cache,
        MountType.SECRET: mount.secret,
        MountType.SSH: mount.ssh,
    }
    if kind in parts and parts[kind] is None:
        raise InvalidInput(f"the {kind.name.lower()} mount at {mount.dest} has no options")
    if mount.dest == "/" and kind is not MountType.BIND:
        raise InvalidInput(f"the root of an exec is a {kind.name.lower()} mount")


def _check_file(op: FileOp, count: int) -> None:
    if not op.actions:
        raise InvalidInput("a file op without actions")
    for index, action in enumerate(op.actions):
        try:
            _check_action(action, count + len(op.actions))
        except InvalidInput as error:
            reason = f"action {index} of a file op: {error.reason}"
            raise error.with_context(reason=reason) from error
    action_order(op, count)
    outputs = sorted(a.output for a in op.actions if a.output != NO_OUTPUT)
    if outputs != list(range(len(outputs))) or not outputs:
        raise InvalidInput(f"the outputs of a file op are {_listed(outputs)}")


def _check_action(action: FileAction, count: int) -> None:
    kinds = (action.copy, action.mkdir, action.mkfile, action.symlink, action.rm)
    done = [kind for kind in kinds if kind is not None]
    if len(done) != 1:
        raise InvalidInput("of no known kind" if not done else "of several kinds")
    _check_input("its base", action.input, count)
    if action.copy is not None:
        copy = action.copy
        _check_input("its source", action.secondary_input, count)
        _check_text("a copy", (*copy.include_patterns, *copy.exclude_patterns))
        _check_path(copy.src)
        _check_path(copy.dest)
        _check_owner(copy.owner, count)
    elif action.mkdir is not None:
        _check_path(action.mkdir.path)
        _check_owner(action.mkdir.owner, count)
    elif action.mkfile is not None:
        _check_path(action.mkfile.path)
        _check_owner(action.mkfile.owner, count)
    elif action.symlink is not None:
        link = action.symlink
        _check_path(link.new_path)
        _check_owner(link.owner, count)
        _check_text("a link", (link.old_path,))
        if not 0 < len(link.old_path) <= _MAX_PATH:
            raise InvalidInput(f"a link to a path of {len(link.old_path)} bytes")
    elif action.rm is not None:
        _check_path(action.rm.path)


def _check_passthrough(op: PassthroughOp, count: int) -> None:
    if not op.id or not op.outputs:
        raise InvalidInput("a passthrough without an ID or without outputs")
    for index in op.outputs:
        _check_input("an output of a passthrough", index, count, none=False)


def _check_side(name: str, side: DiffInput | None, count: int) -> None:
    if side is None:
        raise InvalidInput(f"a diff without {name}")
    _check_input(f"a diff's {name}", side.input, count)


def _check_input(what: str, index: int, count: int, *, none: bool = True) -> None:
    if not (0 <= index < count or (none and index == NO_INPUT)):
        raise InvalidInput(f"{what} refers to input {index}, which does not exist")


def _check_owner(owner: ChownOpt | None, count: int) -> None:
    users: tuple[UserOpt | None, ...] = (owner.user, owner.group) if owner is not None else ()
    for user in users:
        if user is None:
            continue
        if user.by_name is not None:
            _check_input(f'the owner "{user.by_name.name}"', user.by_name.input, count)
        elif user.by_id is not None and not 0 <= user.by_id <= _HIGHEST_ID:
            raise InvalidInput(f"{user.by_id} is not a user ID")


def _check_path(path: str) -> None:
    _check_text("a path", (path,))
    size = len(path.encode("utf-8", "surrogateescape"))
    if size > _MAX_PATH:
        raise InvalidInput(f"a path of {size} bytes is too long")
    for part in path.split("/"):
        if len(part.encode("utf-8", "surrogateescape")) > _MAX_NAME:
            raise InvalidInput(f'the name "{part[:32]}…" is too long')


def _check_text(what: str, texts: Iterable[str]) -> None:
    for text in texts:
        if "\0" in text:
            raise InvalidInput(f"{what} with a NUL in it: {text[:64]!r}")


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers)) or "none"

"""The differences between the operations of two steps, for the explanations of cache misses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lamina.base.errors import LaminaError
from lamina.base.redact import redacted
from lamina.llb.op import MountType
from lamina.records.causes import (
    OptionChanged,
    PlatformChanged,
    SourceMoved,
    SourceReplaced,
    TextChanged,
    VariableChanged,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from lamina.llb.op import ExecOp, FileAction, FileOp, LLBPlatform, Mount, Op, SourceOp
    from lamina.records.causes import Cause

_SHELL = 3  # a shell, -c, and the command
_SEPARATOR = "@sha256:"
_SHARED_MEMORY = "/dev/shm"
"""Where frontends mount a tmpfs for `--shm-size`."""


class Variables:
    """Finds the origin of a variable in the instructions of a Dockerfile.

    Args:
        dockerfiles: the texts of the compared builds.
    """

    def __init__(self, dockerfiles: Sequence[str]) -> None:
        self.arguments: set[str] = set()
        self.environment: set[str] = set()
        for text in dict.fromkeys(dockerfiles):
            self._read(text)

    def origin(self, name: str) -> str:
        if name in self.arguments:
            return "build argument"
        return "ENV" if name in self.environment else "base image's ENV"

    def _read(self, text: str) -> None:
        from lamina.dockerfile.instruction import Arg, Env
        from lamina.dockerfile.lexer import parse_document
        from lamina.dockerfile.parse import parse_instruction

        try:
            document = parse_document(text, "Dockerfile")
            for node in document.nodes:
                if node.keyword in ("ARG", "ENV"):
                    instruction = parse_instruction(node, document.escape)
                    if isinstance(instruction, Arg):
                        self.arguments.update(name for name, _ in instruction.args)
                    elif isinstance(instruction, Env):
                        self.environment.update(pair.key for pair in instruction.pairs)
        except LaminaError:
            return  # another frontend's language


def op_changes(before: Op, after: Op, variables: Variables) -> tuple[Cause, ...]:
    """The differences, except those of inputs."""
    found: list[Cause] = []
    if before.exec is not None and after.exec is not None:
        found += _exec(before.exec, after.exec, variables)
    elif before.file is not None and after.file is not None:
        found += _file(before.file, after.file)
    elif before.source is not None and after.source is not None:
        found += _source(before.source, after.source)
    elif _kind(before) != _kind(after):
        found.append(OptionChanged("operation", _kind(before), _kind(after)))
    if before.platform is not None and after.platform is not None:
        one, other = _platform(before.platform), _platform(after.platform)
        if one != other:
            found.append(PlatformChanged(one, other))
    return tuple(found)


def _kind(op: Op) -> str:
    kinds = ("exec", "source", "file", "build", "merge", "diff", "passthrough")
    return next((kind for kind in kinds if getattr(op, kind) is not None), "")


def _platform(platform: LLBPlatform) -> str:
    parts = (platform.os, platform.architecture, platform.variant)
    return "/".join(part for part in parts if part)


def _exec(before: ExecOp, after: ExecOp, variables: Variables) -> Iterator[Cause]:
    old, new = before.meta, after.meta
    if old is not None and new is not None:
        yield from _command(old.args, new.args)
        yield from _variables(old.env, new.env, variables)
        named = {
            "working directory": (old.cwd, new.cwd),
            "user": (old.user, new.user),
            "host name": (old.hostname, new.hostname),
            "--ulimit": (_texts(old.ulimit), _texts(new.ulimit)),
            "cgroup parent": (old.cgroup_parent, new.cgroup_parent),
            "--add-host": (
                " ".join(host.host for host in old.extra_hosts),
                " ".join(host.host for host in new.extra_hosts),
            ),
            "valid exit codes": (_texts(old.valid_exit_codes), _texts(new.valid_exit_codes)),
        }
        yield from _options(named)
    yield from _options(
        {
            "--network": (before.network.name.lower(), after.network.name.lower()),
            "--security": (before.security.name.lower(), after.security.name.lower()),
            "--device": (_texts(before.cdi_devices), _texts(after.cdi_devices)),
            "secret variables": (_texts(before.secret_env), _texts(after.secret_env)),
        }
    )
    old_mounts = {mount.dest: mount for mount in before.mounts}
    new_mounts = {mount.dest: mount for mount in after.mounts}
    for dest in dict.fromkeys((*old_mounts, *new_mounts)):
        old_mount, new_mount = old_mounts.get(dest), new_mounts.get(dest)
        one, other = _mount(old_mount), _mount(new_mount)
        if one == other:
            continue
        if dest == _SHARED_MEMORY and _is_tmpfs(old_mount) and _is_tmpfs(new_mount):
            yield OptionChanged("--shm-size", _tmpfs_size(old_mount), _tmpfs_size(new_mount))
        else:
            yield OptionChanged("--mount" if dest != "/" else "root file system", one, other)


def _is_tmpfs(mount: Mount | None) -> bool:
    return mount is None or mount.mount_type is MountType.TMPFS


def _tmpfs_size(mount: Mount | None) -> str:
    return "" if mount is None or mount.tmpfs is None else str(mount.tmpfs.size)


def _command(before: Sequence[str], after: Sequence[str]) -> Iterator[Cause]:
    if tuple(before) == tuple(after):
        return
    old, new = _split(before), _split(after)
    if old[0] != new[0]:
        yield OptionChanged("shell", " ".join(old[0]), " ".join(new[0]))
    if old[1] != new[1]:
        yield TextChanged("command", redacted(old[1]), redacted(new[1]))


def _split(args: Sequence[str]) -> tuple[tuple[str, ...], str]:
    """The shell, and the command that it runs."""
    if len(args) == _SHELL and args[1] == "-c":
        return tuple(args[:2]), args[2]
    return (), " ".join(args)


def _variables(
    before: Sequence[str], after: Sequence[str], variables: Variables
) -> Iterator[Cause]:
    old, new = _pairs(before), _pairs(after)
    different = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    for name in different:
        one, other = old.get(name), new.get(name)
        yield VariableChanged(
            variables.origin(name),
            name,
            None if one is None else redacted(one),
            None if other is None else redacted(other),
        )
    if not different and tuple(before) != tuple(after):
        yield OptionChanged("order of the variables", " ".join(old), " ".join(new))


def _pairs(env: Sequence[str]) -> dict[str, str]:
    return {name: value for name, _, value in (entry.partition("=") for entry in env)}


def _mount(mount: Mount | None) -> str:
    """A mount as a flag's value; "" for none. Data that is in no key (contents of secrets) is left
    out."""
    if mount is None:
        return ""
    parts = [f"type={mount.mount_type.name.lower()}", f"target={mount.dest}"]
    if mount.selector and mount.mount_type is MountType.BIND:
        parts.append(f"source={mount.selector}")
    if mount.mount_type is MountType.BIND and not mount.readonly:
        parts.append("rw")
    elif mount.mount_type is MountType.CACHE and mount.readonly:
        parts.append("readonly")
    if mount.cache is not None:
        parts += [f"id={mount.cache.id}", f"sharing={mount.cache.sharing.name.lower()}"]
    if mount.tmpfs is not None and mount.tmpfs.size:
        parts.append(f"size={mount.tmpfs.size}")
    for exposed in (mount.secret, mount.ssh):
        if exposed is not None:
            parts += [f"id={exposed.id}", f"uid={exposed.uid}", f"gid={exposed.gid}"]
            parts.append(f"mode={exposed.mode:04o}")
            parts += [] if exposed.optional else ["required"]
    return ",".join(parts)


def _file(before: FileOp, after: FileOp) -> Iterator[Cause]:
    if len(before.actions) != len(after.actions):
        numbers = (f"{len(op.actions)} actions" for op in (before, after))
        yield OptionChanged("file operation", *numbers)
        return
    for old, new in zip(before.actions, after.actions, strict=True):
        yield from _action(old, new)


def _action(before: FileAction, after: FileAction) -> Iterator[Cause]:
    if before.copy is not None and after.copy is not None:
        yield from _options({"--link": (_onto_scratch(before), _onto_scratch(after))})
    kinds = ("copy", "mkfile", "mkdir", "rm", "symlink")
    for kind in kinds:
        old, new = getattr(before, kind), getattr(after, kind)
        if old is None or new is None:
            if old is not new:
                yield OptionChanged("file operation", kind if old else "", kind if new else "")
            continue
        for field in old._fields:
            one, other = getattr(old, field), getattr(new, field)
            if one == other:
                continue
            if isinstance(one, bytes):
                texts = (redacted(value.decode("utf-8", "replace")) for value in (one, other))
                yield TextChanged(f"content of {new.path}", *texts)
            else:
                option = _FIELDS.get(field, field.replace("_", " "))
                yield OptionChanged(option, _value(field, one), _value(field, other))


def _onto_scratch(action: FileAction) -> str:
    """`--link` copies to an empty file system, and merges that with the one before."""
    return "true" if action.input < 0 else ""


_FIELDS = {
    "src": "source",
    "dest": "destination",
    "owner": "--chown",
    "mode": "--chmod",
    "mode_str": "--chmod",
    "exclude_patterns": "--exclude",
    "attempt_unpack": "--unpack",
    "timestamp": "time of the files",
}


def _value(field: str, value: Any) -> str:
    if value is None:
        return ""
    if field == "mode":
        return "" if value < 0 else f"{value:04o}"
    if field == "timestamp":
        return "" if value < 0 else str(value // 1_000_000_000)
    if field == "owner":
        return ":".join(_user(user) for user in (value.user, value.group) if user is not None)
    if isinstance(value, bool):
        return "true" if value else "false"
    return redacted(_texts(value) if isinstance(value, tuple) else str(value))


def _user(user: Any) -> str:
    return str(user.by_id) if user.by_name is None else str(user.by_name.name)


def _source(before: SourceOp, after: SourceOp) -> Iterator[Cause]:
    old, _, old_digest = before.identifier.partition(_SEPARATOR)
    new, _, new_digest = after.identifier.partition(_SEPARATOR)
    if old != new:
        yield SourceReplaced(_shown_source(old), _shown_source(new))
    elif old_digest != new_digest:
        digests = (f"sha256:{hex}" if hex else "" for hex in (old_digest, new_digest))
        yield SourceMoved(_shown_source(new), *digests)
    one, other = dict(before.attrs), dict(after.attrs)
    if old.startswith("local://"):
        return  # its attributes only limit the transfer
    named: Mapping[str, tuple[str, str]] = {
        name: (redacted(one.get(name, "")), redacted(other.get(name, "")))
        for name in {**one, **other}
    }
    yield from _options(named)


def _shown_source(identifier: str) -> str:
    return redacted(identifier.removeprefix("docker-image://").removeprefix("docker.io/library/"))


def _options(named: Mapping[str, tuple[str, str]]) -> Iterator[Cause]:
    for name, (one, other) in named.items():
        if one != other:
            yield OptionChanged(name, one, other)


def _texts(values: Sequence[Any]) -> str:
    return " ".join(
        ":".join(map(str, value)) if isinstance(value, tuple) else str(value) for value in values
    )

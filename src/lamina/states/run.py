"""Commands: `State.run` to an exec op."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput
from lamina.base.named_tuple import NamedTuple
from lamina.dockerfile.graph import Inputs, Step
from lamina.llb.op import (
    NO_INPUT,
    NO_OUTPUT,
    CacheOpt,
    CacheSharing,
    CDIDevice,
    ExecMeta,
    ExecOp,
    HostIP,
    NetMode,
    Op,
    SecretEnv,
    SecretOpt,
    SecurityMode,
    SSHOpt,
    TmpfsOpt,
    Ulimit,
)
from lamina.llb.op import Mount as OpMount
from lamina.llb.op import MountType as Kind
from lamina.llb.platform import llb_platform
from lamina.llb.state import Edge
from lamina.states.arguments import INTEGER, STATE, SWITCH, TEXT, check_arguments, optional
from lamina.states.mounts import BindMount, CacheMount, SecretMount, SshMount, TmpfsMount
from lamina.states.node import Value

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lamina.dockerfile.image_config import ImageConfig
    from lamina.states.arguments import Kind as ArgumentKind
    from lamina.states.caller import Caller
    from lamina.states.mounts import Mount
    from lamina.states.node import Evaluation, Node

_SHARING = {sharing.name.lower(): sharing for sharing in CacheSharing}
NETWORKS = {"default": NetMode.UNSET, "none": NetMode.NONE, "host": NetMode.HOST}
_SECURITY = {"sandbox": SecurityMode.SANDBOX, "insecure": SecurityMode.INSECURE}
_MOUNT_KINDS: Mapping[str, ArgumentKind] = {
    "source": optional(STATE),
    **dict.fromkeys(("target", "path", "id", "env", "sharing"), TEXT),
    **dict.fromkeys(("writable", "readonly", "required"), SWITCH),
    **dict.fromkeys(("size", "mode", "uid", "gid"), INTEGER),
}
_AGENT = "/run/buildkit/ssh_agent"


class Command(NamedTuple):
    """What `State.run` was called with. `args` is a text for the image's shell, or words.

    `parents` says for each mount with a source which parent of the node it is.
    """

    args: str | tuple[str, ...]
    mounts: tuple[Mount, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    cwd: str = ""
    user: str = ""
    network: str = "default"
    security: str = "sandbox"
    hostname: str = ""
    extra_hosts: tuple[tuple[str, str], ...] = ()
    ulimits: tuple[tuple[str, int, int], ...] = ()
    devices: tuple[str, ...] = ()
    exit_codes: tuple[int, ...] = (0,)
    no_cache: bool = False
    name: str = ""

    def sources(self) -> tuple[Node, ...]:
        """The states that are mounted, in the order of the mounts."""
        return tuple(
            mount.source.node
            for mount in self.mounts
            if isinstance(mount, BindMount | CacheMount) and mount.source is not None
        )


def check_command(command: Command) -> None:
    """Raise InvalidInput for values that no builder accepts."""
    if not command.args:
        raise InvalidInput("run: the command is empty")
    for what, value, known in (
        ("network", command.network, NETWORKS),
        ("security", command.security, _SECURITY),
    ):
        if value not in known:
            raise InvalidInput(f'run: unknown {what} "{value}"', hint=f"use {_listed(known)}")
    targets: set[str] = set()
    for mount in command.mounts:
        check_arguments(type(mount).__name__, _MOUNT_KINDS, **mount._asdict())
        if isinstance(mount, CacheMount) and mount.sharing not in _SHARING:
            raise InvalidInput(
                f'run: unknown sharing "{mount.sharing}"', hint=f"use {_listed(_SHARING)}"
            )
        target = mount.target
        if not target and isinstance(mount, SecretMount | SshMount):
            continue
        if posixpath.normpath(target).strip("/") in ("", "."):
            raise InvalidInput(f'run: invalid mount target "{target}"', hint="use a path like /src")
        if target in targets:
            raise InvalidInput(f"run: two mounts have the target {target}")
        targets.add(target)


def _listed(known: Mapping[str, object]) -> str:
    return " or ".join(known)


class _Mounts:
    """The mounts of an exec op, and the steps that they read."""

    def __init__(self, tree: Step | None, cwd: str) -> None:
        self._cwd = cwd
        self.parents: list[Step | None] = [tree]
        self.entries: list[tuple[OpMount, int | None]] = [(OpMount(dest="/"), 0)]
        self.secret_env: list[SecretEnv] = []
        self.agents: list[str] = []
        self.outputs: dict[str, int] = {}

    def add(self, mount: Mount, source: Step | None) -> None:
        match mount:
            case BindMount():
                self._add_tree(mount.target, mount.path, source, not mount.writable)
            case CacheMount():
                entry = self._entry(mount.target, mount.path)._replace(
                    output=NO_OUTPUT,
                    readonly=mount.readonly,
                    mount_type=Kind.CACHE,
                    cache=CacheOpt(
                        f"/{mount.id or posixpath.normpath(mount.target)}", _SHARING[mount.sharing]
                    ),
                )
                self._append(entry, source)
            case TmpfsMount():
                entry = self._entry(mount.target, "")._replace(
                    output=NO_OUTPUT, mount_type=Kind.TMPFS, tmpfs=TmpfsOpt(mount.size)
                )
                self._append(entry, None)
            case SecretMount():
                self._add_secret(mount)
            case SshMount():
                target = mount.target or f"{_AGENT}.{len(self.agents)}"
                self.agents.append(target)
                option = SSHOpt(mount.id, mount.uid, mount.gid, mount.mode, not mount.required)
                entry = OpMount(input=NO_INPUT, dest=target, mount_type=Kind.SSH, ssh=option)
                self.entries.append((entry, None))

    def _add_secret(self, mount: SecretMount) -> None:
        optional = not mount.required
        if mount.env:
            self.secret_env.append(SecretEnv(mount.id, mount.env, optional))
        if mount.target or not mount.env:
            target = mount.target or f"/run/secrets/{posixpath.basename(mount.id)}"
            option = SecretOpt(mount.id, mount.uid, mount.gid, mount.mode, optional)
            entry = OpMount(input=NO_INPUT, dest=target, mount_type=Kind.SECRET, secret=option)
            self.entries.append((entry, None))

    def _add_tree(self, target: str, path: str, source: Step | None, readonly: bool) -> None:
        entry = self._entry(target, path)._replace(readonly=readonly, output=NO_OUTPUT)
        if not readonly:
            self.outputs[target] = len(self.outputs) + 1
            entry = entry._replace(output=self.outputs[target])
        self._append(entry, source)

    def _entry(self, target: str, path: str) -> OpMount:
        selector = posixpath.normpath("/" + path.lstrip("/"))
        dest = posixpath.normpath(posixpath.join("/", self._cwd, target))
        return OpMount(selector="" if selector == "/" else selector, dest=dest)

    def _append(self, entry: OpMount, source: Step | None) -> None:
        self.entries.append((entry, len(self.parents)))
        self.parents.append(source)

    def placed(self, inputs: Inputs) -> tuple[OpMount, ...]:
        return tuple(
            entry if parent is None else entry._replace(input=inputs.index(parent))
            for entry, parent in self.entries
        )


class _Output(Step):
    """Another output of an exec step than its root."""

    __slots__ = ("_index",)

    def __init__(self, step: Step, index: int) -> None:
        super().__init__(lambda _: Op(), (step,))
        self._index = index

    def encode(self) -> None:
        [parent] = self.parents
        assert parent is not None and parent.edge is not None
        self.edge = Edge(parent.edge.vertex, self._index)


def evaluate_command(
    command: Command, values: Sequence[Value], evaluation: Evaluation, caller: Caller | None
) -> Value:
    """The value after a command. `values` are those of the state and of the mounted states."""
    value, *mounted = values
    config = value.config.copy()
    cwd = posixpath.join("/", config.working_dir, command.cwd)
    mounts = _Mounts(value.tree, cwd)
    sources = iter(mounted)
    for mount in command.mounts:
        reads = isinstance(mount, BindMount | CacheMount) and mount.source is not None
        mounts.add(mount, next(sources).tree if reads else None)
    args = command.args
    words = config.shell_command((args,)) if isinstance(args, str) else args
    shown = args if isinstance(args, str) else " ".join(args)
    platform = llb_platform(config.platform)
    op = ExecOp(
        meta=ExecMeta(
            args=words,
            env=_environment(config, command, mounts.agents),
            cwd=cwd,
            user=command.user or config.user,
            extra_hosts=tuple(HostIP(*host) for host in command.extra_hosts),
            hostname=command.hostname,
            ulimit=tuple(Ulimit(*limit) for limit in command.ulimits),
            remove_mount_stubs_recursive=True,
            valid_exit_codes=() if command.exit_codes == (0,) else command.exit_codes,
        ),
        network=NETWORKS[command.network],
        security=_SECURITY[command.security],
        secret_env=tuple(mounts.secret_env),
        cdi_devices=tuple(map(CDIDevice, command.devices)),
    )

    def make(inputs: Inputs) -> Op:
        return Op(exec=op._replace(mounts=mounts.placed(inputs)), platform=platform)

    step = evaluation.step(
        make,
        tuple(mounts.parents),
        caller,
        name=command.name or f"RUN {shown}",
        ignore_cache=command.no_cache,
        group=value.group,
    )
    config.note(f"RUN {' '.join(words)}", layer=True)
    outputs = {target: _Output(step, index) for target, index in mounts.outputs.items()}
    return Value(step, config, outputs, value.group)


def _environment(config: ImageConfig, command: Command, agents: Sequence[str]) -> tuple[str, ...]:
    env = dict(config.env) | dict(command.env)
    if agents:
        env.setdefault("SSH_AUTH_SOCK", agents[0])
    return tuple(f"{name}={value}" for name, value in env.items())

"""RUN to an exec op."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput, Unsupported
from lamina.dockerfile.args import PROXIES
from lamina.dockerfile.instruction import Command, Flags, parse_command
from lamina.dockerfile.mounts import RunMount, parse_mount
from lamina.llb.op import (
    NO_INPUT,
    NO_OUTPUT,
    CacheOpt,
    CacheSharing,
    ExecMeta,
    ExecOp,
    FileAction,
    FileOp,
    HostIP,
    MkDirAction,
    MkFileAction,
    Mount,
    MountType,
    NetMode,
    Op,
    ProxyEnv,
    SecretEnv,
    SecretOpt,
    SecurityMode,
    SSHOpt,
    TmpfsOpt,
)
from lamina.llb.state import Vertex

if TYPE_CHECKING:
    from lamina.dockerfile.convert import StageConversion
    from lamina.dockerfile.lexer import Node
    from lamina.llb.state import Edge

_SHARING = {
    "shared": CacheSharing.SHARED,
    "private": CacheSharing.PRIVATE,
    "locked": CacheSharing.LOCKED,
}
_NETWORKS = {
    "": NetMode.UNSET,
    "default": NetMode.UNSET,
    "none": NetMode.NONE,
    "host": NetMode.HOST,
}
_PIPES = "/dev/pipes"
_AGENT = "/run/buildkit/ssh_agent"


def convert_run(stage: StageConversion, node: Node) -> None:
    flags = Flags(node)
    expander = stage.expander()
    mounts = [parse_mount(text, expander.word, node.location) for text in flags.all("mount")]
    if flags.all("device"):
        raise Unsupported("RUN --device", hint="CDI devices are not supported yet")
    inputs: list[Edge] = []
    table: list[Mount] = []
    root_input = NO_INPUT
    if stage.state is not None:
        root_input = 0
        inputs.append(stage.state)
    table.append(Mount(input=root_input, dest="/", output=0))
    command, shown, script = _command(stage, node)
    if script is not None:
        inputs.append(script)
        table.append(Mount(input=len(inputs) - 1, dest=_PIPES, output=NO_OUTPUT, readonly=True))
    if stage.build.request.shm_size:
        table.append(
            Mount(
                input=NO_INPUT,
                dest="/dev/shm",
                output=NO_OUTPUT,
                mount_type=MountType.TMPFS,
                tmpfs=TmpfsOpt(stage.build.request.shm_size),
            )
        )
    secret_env = []
    agents: list[str] = []
    for mount in mounts:
        if mount.type == "ssh":
            mount = mount._replace(target=mount.target or f"{_AGENT}.{len(agents)}")
            agents.append(mount.target)
        if mount.type == "secret" and mount.env:
            secret_env.append(SecretEnv(mount.id, mount.env, not mount.required))
        if mount.type != "secret" or mount.target:
            table.append(_mount(stage, node, mount, inputs))
    env = stage.run_env()
    if agents:
        env = (*env, f"SSH_AUTH_SOCK={agents[0]}")
    meta = ExecMeta(
        args=command,
        env=env,
        cwd=stage.config.working_dir,
        user=stage.config.user,
        proxy_env=_proxy(stage),
        extra_hosts=tuple(HostIP(name, ip) for name, ip in stage.build.request.extra_hosts),
        hostname=stage.build.hostname,
        ulimit=stage.build.request.ulimits,
        valid_exit_codes=(),
    )
    op = ExecOp(
        meta=meta,
        mounts=tuple(table),
        network=_network(stage, flags.text("network")),
        security=_security(flags.text("security")),
        secret_env=tuple(secret_env),
    )
    name = stage.name_step(f"RUN {' '.join((*node.flags, '')) if node.flags else ''}{shown}")
    stage.state = stage.vertex(Op(exec=op), tuple(inputs), name, node).output()
    prefix = _args_prefix(stage)
    stage.config.add_history(f"RUN {prefix}{_history_text(command)} # buildkit", layer=True)


def _command(stage: StageConversion, node: Node) -> tuple[tuple[str, ...], str, Edge | None]:
    """(arguments, what to show, a file system with the script if one must be mounted)."""
    command: Command = parse_command(node)
    if not command.shell:
        if not command.args:
            raise InvalidInput("RUN needs a command")
        return command.args, " ".join(command.args), None
    text = command.args[0]
    if not text.strip():
        raise InvalidInput("RUN needs a command")
    if not node.heredocs:
        return (*stage.config.shell, text), text, None
    alone = len(node.heredocs) == 1 and text.strip().startswith("<<") and " " not in text.strip()
    if not alone:
        full = text
        for heredoc in node.heredocs:
            full += f"\n{heredoc.content}{heredoc.name}"
        return (*stage.config.shell, full), text, None
    content = node.heredocs[0].content
    first = content.strip().partition("\n")[0]
    shown = f"<<{node.heredocs[0].name} ({first}...)"
    if not content.startswith("#!"):
        return (*stage.config.shell, content), shown, None
    script = Vertex(
        Op(
            file=FileOp(
                (
                    FileAction(
                        input=NO_INPUT,
                        secondary_input=NO_INPUT,
                        output=NO_OUTPUT,
                        mkdir=MkDirAction("/", 0o755, True, timestamp=-1),
                    ),
                    FileAction(
                        input=0,
                        secondary_input=NO_INPUT,
                        output=0,
                        mkfile=MkFileAction(
                            f"/{node.heredocs[0].name}",
                            0o755,
                            content.encode("utf-8", "surrogateescape"),
                            timestamp=-1,
                        ),
                    ),
                )
            )
        )
    )
    return (f"{_PIPES}/{node.heredocs[0].name}",), shown, script.output()


def _mount(stage: StageConversion, node: Node, mount: RunMount, inputs: list[Edge]) -> Mount:
    target = posixpath.normpath(posixpath.join(stage.config.working_dir, mount.target))
    match mount.type:
        case "bind":
            source = _origin(stage, node, mount, inputs)
            return Mount(
                input=source,
                selector=_selector(mount.source),
                dest=target,
                output=NO_OUTPUT,
                readonly=mount.readonly,
            )
        case "cache":
            source = NO_INPUT
            if mount.origin:
                source = _origin(stage, node, mount, inputs)
            elif mount.mode is not None or mount.uid is not None or mount.gid is not None:
                source = _empty_folder(mount, inputs)
            selector = _selector(mount.source) if mount.origin else ""
            if source != NO_INPUT and not mount.origin:
                selector = "/cache"
            return Mount(
                input=source,
                selector=selector,
                dest=target,
                output=NO_OUTPUT,
                readonly=mount.readonly,
                mount_type=MountType.CACHE,
                cache=CacheOpt(mount.id or target, _SHARING[mount.sharing]),
            )
        case "tmpfs":
            return Mount(
                input=NO_INPUT,
                dest=target,
                output=NO_OUTPUT,
                mount_type=MountType.TMPFS,
                tmpfs=TmpfsOpt(mount.size),
            )
        case "secret":
            return Mount(
                input=NO_INPUT,
                dest=target,
                output=NO_OUTPUT,
                mount_type=MountType.SECRET,
                secret=SecretOpt(
                    mount.id,
                    mount.uid or 0,
                    mount.gid or 0,
                    0o400 if mount.mode is None else mount.mode,
                    not mount.required,
                ),
            )
        case _:
            return Mount(
                input=NO_INPUT,
                dest=target,
                output=NO_OUTPUT,
                mount_type=MountType.SSH,
                ssh=SSHOpt(
                    mount.id,
                    mount.uid or 0,
                    mount.gid or 0,
                    0o600 if mount.mode is None else mount.mode,
                    not mount.required,
                ),
            )


def _origin(stage: StageConversion, node: Node, mount: RunMount, inputs: list[Edge]) -> int:
    """The input that a mount shows: a stage, image or context, or the build context."""
    edge = stage.build.origin(stage.stage, mount.origin, node)
    if edge is None:
        return NO_INPUT
    if edge in inputs:
        return inputs.index(edge)
    inputs.append(edge)
    return len(inputs) - 1


def _empty_folder(mount: RunMount, inputs: list[Edge]) -> int:
    """A folder with the mode and owner that a new cache starts with."""
    from lamina.llb.op import ChownOpt, UserOpt

    owner = ChownOpt(UserOpt(by_id=mount.uid or 0), UserOpt(by_id=mount.gid or 0))
    action = FileAction(
        input=NO_INPUT,
        secondary_input=NO_INPUT,
        mkdir=MkDirAction(
            "/cache", 0o755 if mount.mode is None else mount.mode, owner=owner, timestamp=-1
        ),
    )
    inputs.append(Vertex(Op(file=FileOp((action,)))).output())
    return len(inputs) - 1


def _selector(source: str) -> str:
    path = posixpath.normpath("/" + source)
    return "" if path == "/" else path


def _network(stage: StageConversion, text: str) -> NetMode:
    mode = text or stage.build.request.network
    if mode not in _NETWORKS:
        raise InvalidInput(f'invalid network mode "{mode}"', hint="use default, none or host")
    return _NETWORKS[mode]


def _security(text: str) -> SecurityMode:
    if text not in ("", "sandbox", "insecure"):
        raise InvalidInput(f'security "{text}" is not valid', hint="use sandbox or insecure")
    return SecurityMode.INSECURE if text == "insecure" else SecurityMode.SANDBOX


def _proxy(stage: StageConversion) -> ProxyEnv | None:
    values = {}
    for name in PROXIES:
        value = stage.args.get(name) or stage.args.get(name.upper())
        if value:
            values[name] = value
    return ProxyEnv(**values) if values else None


def _args_prefix(stage: StageConversion) -> str:
    """History tells which args were set, as Docker's does."""
    if not stage.declared:
        return ""
    words = " ".join(f"{name}={value}" for name, value in stage.declared.items())
    return f"|{len(stage.declared)} {words} "


def _history_text(command: tuple[str, ...]) -> str:
    return " ".join(command)

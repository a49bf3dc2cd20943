"""RUN to an exec op."""

from __future__ import annotations

import posixpath
from contextlib import suppress
from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput
from lamina.base.named_tuple import NamedTuple
from lamina.dockerfile.bases import mark_path
from lamina.dockerfile.expand import Expander
from lamina.dockerfile.file_ops import capital, inline_file
from lamina.dockerfile.graph import Inputs, Step
from lamina.dockerfile.mounts import RunMount, parse_mount
from lamina.dockerfile.words import chomp, marker
from lamina.llb.op import (
    NO_INPUT,
    NO_OUTPUT,
    CacheOpt,
    CacheSharing,
    CDIDevice,
    ChownOpt,
    ExecMeta,
    ExecOp,
    FileAction,
    FileOp,
    HostIP,
    MkDirAction,
    Mount,
    MountType,
    NetMode,
    Op,
    SecretEnv,
    SecretOpt,
    SecurityMode,
    SSHOpt,
    TmpfsOpt,
    UserOpt,
)
from lamina.llb.platform import llb_platform

if TYPE_CHECKING:
    from collections.abc import Callable

    from lamina.dockerfile.convert import Conversion
    from lamina.dockerfile.instruction import Run
    from lamina.dockerfile.stage import Stage, Task
    from lamina.dockerfile.stage_state import StageState

_SHARING = {
    "shared": CacheSharing.SHARED,
    "private": CacheSharing.PRIVATE,
    "locked": CacheSharing.LOCKED,
}
_NETWORKS = {"default": NetMode.UNSET, "none": NetMode.NONE, "host": NetMode.HOST}
_PIPES = "/dev/pipes/"
_AGENT = "/run/buildkit/ssh_agent"
_CACHE = "/cache"


class _Bound(NamedTuple):
    """A mount and its source. Its input is filled in when the op is made."""

    mount: Mount
    source: Step | None = None


class _Mounts(NamedTuple):
    """All mounts of a step: of trees, of secrets, of agents; and secrets in variables."""

    trees: list[_Bound]
    secrets: list[Mount]
    agents: list[Mount]
    secret_env: list[SecretEnv]


def convert_run(
    conversion: Conversion, state: StageState, task: Task, run: Run, word: Callable[[str], str]
) -> None:
    """Add the step of a RUN to a stage; `word` expands. Raises InvalidInput."""
    settings = conversion.settings
    options = settings.options
    # A command may read any file of its stage's base.
    state.needed.add("/")
    mounts = _Mounts([_Bound(Mount(dest="/"), state.tree)], [], [], [])
    args, shown = _command(state, run, mounts)
    parsed = [parse_mount(text, word) for text in run.mounts]
    state.mounts += ((mount, run.node.location) for mount in parsed)
    for mount, source in zip(parsed, task.sources, strict=True):
        _add_mount(conversion, state, mount, source, mounts)
    if options.shm_size:
        shm = Mount(
            dest="/dev/shm",
            output=NO_OUTPUT,
            mount_type=MountType.TMPFS,
            tmpfs=TmpfsOpt(options.shm_size),
        )
        mounts.trees.append(_Bound(shm))
    env = tuple(f"{name}={value}" for name, value in state.env.items())
    if mounts.agents and "SSH_AUTH_SOCK" not in state.env:
        env = (*env, f"SSH_AUTH_SOCK={mounts.agents[0].dest}")
    network = _NETWORKS[options.network if run.network == "default" else run.network]
    bound = sorted(mounts.trees, key=lambda entry: entry.mount.dest)
    op = ExecOp(
        meta=ExecMeta(
            args=args,
            env=env,
            cwd=state.directory,
            user=state.config.user,
            proxy_env=settings.proxy,
            extra_hosts=tuple(HostIP(name, ip) for name, ip in options.extra_hosts),
            hostname=options.hostname,
            ulimit=options.ulimits,
            cgroup_parent=options.cgroup_parent,
            remove_mount_stubs_recursive=True,
        ),
        network=network,
        security=(SecurityMode.INSECURE if run.security == "insecure" else SecurityMode.SANDBOX),
        secret_env=tuple(mounts.secret_env),
        cdi_devices=(
            *options.devices,
            *(CDIDevice(d.name, not d.required) for d in run.devices),
        ),
    )
    platform = llb_platform(state.platform)

    def make(inputs: Inputs) -> Op:
        trees = [
            entry.mount._replace(input=inputs.index(number)) for number, entry in enumerate(bound)
        ]
        every = (*trees, *mounts.secrets, *mounts.agents)
        return Op(exec=op._replace(mounts=every), platform=platform)

    name = _shown(state, shown, mounts, conversion)
    history = _history(state, args)
    state.tree = Step(
        make,
        tuple(entry.source for entry in bound),
        name=state.step_name(name, triggered=task.triggered),
        description=(("com.docker.dockerfile.v1.command", run.node.original.strip()),),
        ignore_cache=state.stage.ignore_cache,
        resources=options.resources,
        source=settings.source,
        location=run.node.location,
    )
    conversion.note(state, f"RUN {history} # buildkit", layer=True)


def _command(state: StageState, run: Run, mounts: _Mounts) -> tuple[tuple[str, ...], str]:
    """(arguments, text for the step's name). A script in a heredoc is mounted."""
    shown = run.node.original.strip()
    command = run.command
    config = state.config
    if not command.shell:
        return command.args, shown
    text = command.args[0]
    if not command.heredocs:
        return config.shell_command((text,)), shown
    first = command.heredocs[0]
    if marker(text) is None:
        # The shell handles heredocs in a longer command itself.
        for heredoc in command.heredocs:
            text += f"\n{heredoc.content}{heredoc.name}"
        return config.shell_command((text,)), shown
    shown += f" ({_summary(first.content)})"
    script = chomp(first.content) if first.chomp else first.content
    if not script.startswith("#!") or config.platform.os == "windows":
        return config.shell_command((script,)), shown
    name = posixpath.basename(first.name)
    pipe = Mount(selector="/", dest=_PIPES, output=NO_OUTPUT, readonly=True)
    mounts.trees.append(_Bound(pipe, inline_file(name, script, 0o755)))
    # In shell form, too (BuildKit).
    return config.shell_command((posixpath.join(_PIPES, name),)), shown


def _add_mount(
    conversion: Conversion, state: StageState, mount: RunMount, source: Stage, mounts: _Mounts
) -> None:
    if mount.type == "secret":
        _add_secret(mount, mounts)
        return
    if mount.type == "ssh":
        target = mount.target or f"{_AGENT}.{len(mounts.agents)}"
        mode = 0o600 if mount.mode is None else mount.mode
        option = SSHOpt(mount.id, mount.uid or 0, mount.gid or 0, mode, not mount.required)
        entry = Mount(input=NO_INPUT, dest=target, mount_type=MountType.SSH, ssh=option)
        mounts.agents.append(entry)
        return
    tree: Step | None
    if mount.type == "tmpfs":
        tree = None
    elif mount.origin or mount.type == "cache":
        origin = conversion.converted.get(source)
        if origin is None:
            raise InvalidInput(
                f'cannot mount from stage "{mount.origin}" to "{mount.target}", stage needs to '
                "be defined before current command",
                hint="move that stage up",
            )
        tree = origin.tree
        mark_path(origin.needed, mount.source)
    else:
        tree = conversion.bases.build_context
        mark_path(state.context_paths, mount.source)
    target = mount.target
    if not target.startswith("/"):
        target = posixpath.normpath(posixpath.join("/", state.directory, target))
    if target.strip("/") in ("", "."):
        raise InvalidInput(
            f'invalid mount target "{target}"',
            hint="give a path to mount it at: target=/path" if not mount.target else "",
        )
    selector = posixpath.normpath("/" + mount.source.lstrip("/"))
    if selector == "/":
        selector = ""
        if mount.type == "cache" and (mount.uid, mount.gid, mount.mode) != (None, None, None):
            tree = _cache_folder(mount, tree)
            selector = _CACHE
    entry = Mount(selector=selector, dest=target, output=NO_OUTPUT, readonly=mount.readonly)
    if mount.type == "cache":
        entry = entry._replace(
            mount_type=MountType.CACHE,
            cache=CacheOpt(
                f"{conversion.settings.cache_namespace}/{mount.cache_name}",
                _SHARING[mount.sharing],
            ),
        )
    elif mount.type == "tmpfs":
        entry = entry._replace(mount_type=MountType.TMPFS, tmpfs=TmpfsOpt(mount.size))
    mounts.trees.append(_Bound(entry, tree))


def _add_secret(mount: RunMount, mounts: _Mounts) -> None:
    identity = mount.secret_name
    optional = not mount.required
    target = mount.target
    if mount.env is not None:
        mounts.secret_env.append(SecretEnv(identity, mount.env or identity, optional))
    elif not target:
        target = f"/run/secrets/{posixpath.basename(identity.rstrip('/'))}"
    if target:
        mode = 0o400 if mount.mode is None else mount.mode
        option = SecretOpt(identity, mount.uid or 0, mount.gid or 0, mode, optional)
        mounts.secrets.append(
            Mount(input=NO_INPUT, dest=target, mount_type=MountType.SECRET, secret=option)
        )


def _cache_folder(mount: RunMount, tree: Step | None) -> Step:
    """A tree with a directory that has the mode and owner of a new cache mount."""
    owner = ChownOpt(UserOpt(by_id=mount.uid or 0), UserOpt(by_id=mount.gid or 0))
    mode = 0o755 if mount.mode is None else mount.mode & 0o777
    mkdir = MkDirAction(_CACHE, mode, owner=owner, timestamp=-1)

    def make(inputs: Inputs) -> Op:
        return Op(file=FileOp((FileAction(inputs.index(0), NO_INPUT, 0, mkdir=mkdir),)))

    return Step(make, (tree,), name="[internal] setting cache mount permissions")


def _shown(state: StageState, text: str, mounts: _Mounts, conversion: Conversion) -> str:
    """The command with its variables expanded, except those of secrets."""
    masked = {**state.env, **{secret.name: "****" for secret in mounts.secret_env}}
    escape, limit = conversion.settings.escape, conversion.limit
    rules = Expander(masked, escape, raw_quotes=True, keep_unset=True, limit=limit)
    # Shells have more syntax than this expansion: what it cannot parse is shown unchanged.
    with suppress(InvalidInput):
        text = rules.word(text)
    return capital(text)


def _summary(content: str) -> str:
    first, *rest = content.strip().replace("\r\n", "\n").split("\n")
    return first + ("..." if rest else "")


def _history(state: StageState, args: tuple[str, ...]) -> str:
    """The command with its build arguments in front: `|1 VERSION=3 /bin/sh -c …`."""
    declared = {name: state.env.get(name, value or "") for name, value in state.args}
    words = [f"{name}={value}" for name, value in declared.items()]
    if words:
        words.insert(0, f"|{len(words)}")
    return " ".join((*words, *args))

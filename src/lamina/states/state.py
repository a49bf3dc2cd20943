"""`State`: a file system and its image configuration, as the user describes them."""

from __future__ import annotations

import os
import posixpath
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from lamina.base.digest import digest_of
from lamina.base.errors import InvalidInput
from lamina.dockerfile.graph import Inputs, Step
from lamina.llb.op import (
    CopyAction,
    DiffInput,
    DiffOp,
    FileAction,
    MkDirAction,
    MkFileAction,
    Op,
    OpProgressGroup,
    RmAction,
    SymlinkAction,
)
from lamina.states.arguments import (
    DATA,
    INTEGER,
    LIMITS,
    MODE,
    NUMBER,
    PAIRS,
    PATH,
    STATE,
    SWITCH,
    TEXT,
    TEXTS,
    check_arguments,
    checked,
    either,
    listed,
    optional,
)
from lamina.states.caller import at_caller
from lamina.states.files import evaluate_file_op, read_mode
from lamina.states.mounts import MOUNT
from lamina.states.node import Node, Value, key_of
from lamina.states.run import Command, check_command, evaluate_command

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from lamina.dockerfile.image_config import ImageConfig
    from lamina.llb.op import ChownOpt
    from lamina.states.files import MakeAction
    from lamina.states.mounts import Mount
    from lamina.states.node import Evaluation

Network = Literal["default", "none", "host"]
Security = Literal["sandbox", "insecure"]


class State:
    """A file system with an image configuration. Immutable: methods return a new state.

    States are made by `image`, `scratch`, `local`, `git`, `http`, `oci_layout`, `merge` and
    `from_dockerfile`. They belong to no builder and can be built by any.
    """

    __slots__ = ("_node",)

    _node: Node

    def __init__(self, node: Node) -> None:
        object.__setattr__(self, "_node", node)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("states do not change: each method returns a new one")

    def __copy__(self) -> State:
        return self

    def __deepcopy__(self, _: object) -> State:
        return self

    def __reduce__(self) -> NoReturn:
        raise at_caller(
            InvalidInput("a state cannot be pickled", hint="make it in the process that builds it")
        )

    def __repr__(self) -> str:
        caller = self._node.caller
        return "State()" if caller is None else f"State({caller.filename}:{caller.line})"

    @property
    def node(self) -> Node:
        """The node of lamina's graph. Not a part of the public API."""
        return self._node

    @checked(
        command=either(TEXT, TEXTS),
        mounts=listed(MOUNT),
        env=optional(PAIRS),
        cwd=PATH,
        hostname=TEXT,
        extra_hosts=optional(PAIRS),
        ulimits=optional(LIMITS),
        devices=TEXTS,
        exit_codes=listed(INTEGER),
        no_cache=SWITCH,
    )
    def run(
        self,
        command: str | Sequence[str],
        *,
        mounts: Collection[Mount] = (),
        env: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] = "",
        user: str = "",
        network: Network = "default",
        security: Security = "sandbox",
        hostname: str = "",
        extra_hosts: Mapping[str, str] | None = None,
        ulimits: Mapping[str, tuple[int, int]] | None = None,
        devices: Sequence[str] = (),
        exit_codes: Sequence[int] = (0,),
        no_cache: bool = False,
        name: str = "",
    ) -> State:
        """Run a command.

        Args:
            command: a text for the image's shell (`/bin/sh -c` by default), or the words of the
                command.
            mounts: see `bind`, `cache`, `tmpfs`, `secret` and `ssh`.
            env: further variables, for this command only.
            cwd: the working directory, relative to that of the state.
            user: `name|uid[:group|gid]`, by default the user of the state.
            network: `none` and `host` as for `RUN --network`.
            security: `insecure` needs the entitlement `security.insecure`.
            extra_hosts: addresses by host name.
            ulimits: (soft, hard) by name.
            devices: CDI names.
            exit_codes: the exit statuses that are a success.
            no_cache: whether the command runs although its result is cached.
            name: the name of the step in progress displays.

        Raises InvalidInput.
        """
        made = Command(
            command if isinstance(command, str) else tuple(command),
            tuple(mounts),
            tuple((env or {}).items()),
            os.fspath(cwd),
            user,
            network,
            security,
            hostname,
            tuple((extra_hosts or {}).items()),
            tuple((key, *limit) for key, limit in (ulimits or {}).items()),
            tuple(devices),
            tuple(exit_codes),
            no_cache,
            name,
        )
        _check(check_command, made)

        def evaluate(evaluation: Evaluation, values: tuple[Value, ...]) -> Value:
            return evaluate_command(made, values, evaluation, node.caller)

        node = Node(evaluate, (self.node, *made.sources()))
        return State(node)

    @checked()
    def output(self, target: str) -> State:
        """The content of a writable mount of the last command, after it ran.

        The image configuration is that of this state.
        """

        def evaluate(_: Evaluation, values: tuple[Value, ...]) -> Value:
            [value] = values
            if target not in value.outputs:
                known = ", ".join(value.outputs) or "none"
                raise InvalidInput(
                    f"the state has no output {target}",
                    hint=f"call it on the result of run(); its writable mounts are: {known}",
                )
            return Value(value.outputs[target], value.config, group=value.group)

        return State(Node(evaluate, (self.node,)))

    @checked(
        source=STATE,
        path=either(TEXT, TEXTS),
        to=TEXT,
        mode=MODE,
        follow_links=SWITCH,
        contents=SWITCH,
        unpack=SWITCH,
        wildcards=SWITCH,
    )
    def copy(
        self,
        source: State,
        path: str | Sequence[str] = "/",
        to: str = "/",
        *,
        owner: str = "",
        mode: int | str | None = None,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        follow_links: bool = True,
        contents: bool = True,
        unpack: bool = False,
        wildcards: bool = True,
        name: str = "",
    ) -> State:
        """Copy files of another state.

        Args:
            path: one or several paths in `source`.
            to: the destination, relative to the working directory. A directory if it ends with a
                slash. Missing directories are created.
            owner: `user[:group]` of the copies, by default root.
            mode: the mode of the copies, by default that of the source. A text is a symbolic mode.
            include: patterns of the files to copy, by default all.
            exclude: patterns of files to leave out.
            follow_links: whether a link at `path` stands for its target.
            contents: whether a directory at `path` stands for its content.
            unpack: whether archives at `path` are unpacked.
            wildcards: whether `path` is a pattern (`*.txt`).

        Raises InvalidInput.
        """
        paths = (path,) if isinstance(path, str) else tuple(path)
        if not paths:
            raise at_caller(InvalidInput("copy: there is no path to copy"))
        bits, symbolic = _check(read_mode, mode)

        def action(one: str) -> MakeAction:
            return lambda chown, absolute: FileAction(
                copy=CopyAction(
                    src=one if one.startswith("/") else f"/{one}",
                    dest=absolute(to),
                    owner=chown,
                    mode=bits,
                    mode_str=symbolic,
                    follow_symlink=follow_links,
                    dir_copy_contents=contents,
                    attempt_unpack=unpack,
                    create_dest_path=True,
                    allow_wildcard=wildcards,
                    timestamp=-1,
                    include_patterns=tuple(include),
                    exclude_patterns=tuple(exclude),
                )
            )

        shown = name or f"COPY {' '.join(paths)} {to}"
        return self._files([action(one) for one in paths], owner, shown, source)

    @checked(content=DATA, mode=INTEGER)
    def write(
        self,
        path: str,
        content: str | bytes,
        *,
        mode: int = 0o644,
        owner: str = "",
        name: str = "",
    ) -> State:
        """Write a file. Its directory must exist."""
        data = content.encode() if isinstance(content, str) else bytes(content)
        _check(read_mode, mode)

        def action(chown: ChownOpt | None, absolute: Callable[[str], str]) -> FileAction:
            return FileAction(mkfile=MkFileAction(absolute(path), mode, data, chown, -1))

        return self._files([action], owner, name or f"write {path}")

    @checked(mode=INTEGER, parents=SWITCH)
    def mkdir(
        self,
        path: str,
        *,
        mode: int = 0o755,
        parents: bool = True,
        owner: str = "",
        name: str = "",
    ) -> State:
        """Create a directory; with `parents` also those above, and it may exist."""
        _check(read_mode, mode)

        def action(chown: ChownOpt | None, absolute: Callable[[str], str]) -> FileAction:
            return FileAction(mkdir=MkDirAction(absolute(path), mode, parents, chown, -1))

        return self._files([action], owner, name or f"mkdir {path}")

    @checked(missing_ok=SWITCH, wildcards=SWITCH)
    def remove(
        self, path: str, *, missing_ok: bool = False, wildcards: bool = False, name: str = ""
    ) -> State:
        """Remove a file or a directory with its content."""

        def action(_: ChownOpt | None, absolute: Callable[[str], str]) -> FileAction:
            return FileAction(rm=RmAction(absolute(path), missing_ok, wildcards))

        return self._files([action], "", name or f"remove {path}")

    @checked()
    def symlink(self, target: str, path: str, *, owner: str = "", name: str = "") -> State:
        """Create a symbolic link at `path`."""

        def action(chown: ChownOpt | None, absolute: Callable[[str], str]) -> FileAction:
            return FileAction(symlink=SymlinkAction(target, absolute(path), chown, -1))

        return self._files([action], owner, name or f"link {path} to {target}")

    @checked(lower=STATE)
    def diff(self, lower: State, *, name: str = "") -> State:
        """The changes from `lower` to this state, as a state of their own."""

        def make(inputs: Inputs) -> Op:
            return Op(diff=DiffOp(DiffInput(inputs.index(0)), DiffInput(inputs.index(1))))

        def evaluate(_: Evaluation, values: tuple[Value, ...]) -> Value:
            upper, below = values
            if key_of(upper.tree) == key_of(below.tree):
                return upper._replace(tree=None)
            # BuildKit takes the first input for the lower side, whatever the index in the op is.
            step = Step(make, (below.tree, upper.tree), name=name or "diff", group=upper.group)
            return Value(step, upper.config, group=upper.group)

        return State(Node(evaluate, (self.node, lower.node)))

    def env(self, variables: Mapping[str, str] | None = None, /, **more: str) -> State:
        """Set variables of the image, and of the commands that follow."""

        check_arguments("env", {"variables": optional(PAIRS)}, variables=variables)
        known = {**(variables or {}), **more}
        check_arguments("env", {"variables": PAIRS}, variables=known)

        def change(config: ImageConfig) -> None:
            for key, value in known.items():
                config.set_env(key, value)

        return self._configured(change, f"ENV {' '.join(known)}")

    @checked(path=PATH)
    def workdir(self, path: str | os.PathLike[str]) -> State:
        """Set the working directory, relative to the former one. A command creates it if needed."""

        def change(config: ImageConfig) -> None:
            joined = posixpath.join("/", config.working_dir, os.fspath(path))
            config.settings["WorkingDir"] = posixpath.normpath(joined)

        return self._configured(change, f"WORKDIR {os.fspath(path)}")

    @checked()
    def user(self, user: str) -> State:
        """Set the user, `name|uid[:group|gid]`, of the image and of the commands that follow."""
        return self._set("User", user, f"USER {user}")

    @checked(words=TEXTS)
    def entrypoint(self, words: Sequence[str]) -> State:
        """Set the entrypoint of the image. Its command is reset."""

        def change(config: ImageConfig) -> None:
            config.settings["Entrypoint"] = list(words)
            config.settings.pop("Cmd", None)

        return self._configured(change, f"ENTRYPOINT {list(words)}")

    @checked(words=TEXTS)
    def cmd(self, words: Sequence[str]) -> State:
        """Set the default command of the image, or the default arguments of its entrypoint."""
        return self._set("Cmd", list(words), f"CMD {list(words)}")

    @checked(labels=PAIRS)
    def label(self, labels: Mapping[str, str]) -> State:
        """Add labels to the image."""

        def change(config: ImageConfig) -> None:
            config.set_labels(labels.items())

        return self._configured(change, f"LABEL {' '.join(labels)}")

    @checked(ports=either(INTEGER, TEXT))
    def expose(self, *ports: int | str) -> State:
        """Declare ports (`80`, `53/udp`, `8000-8010`) of the image. Raises InvalidInput."""
        from lamina.dockerfile.ports import parse_ports

        words = tuple(map(str, ports))
        parsed = _check(parse_ports, words)
        return self._configured(
            lambda config: config.add_names("ExposedPorts", parsed), f"EXPOSE {' '.join(words)}"
        )

    @checked(paths=TEXT)
    def volume(self, *paths: str) -> State:
        """Declare volumes of the image."""
        return self._configured(
            lambda config: config.add_names("Volumes", paths), f"VOLUME {' '.join(paths)}"
        )

    @checked(signal=TEXT)
    def stop_signal(self, signal: str) -> State:
        """Set the signal that stops a container of the image."""
        return self._set("StopSignal", signal, f"STOPSIGNAL {signal}")

    @checked(words=TEXTS)
    def shell(self, words: Sequence[str]) -> State:
        """Set the shell of commands that are a text."""
        return self._set("Shell", list(words), f"SHELL {list(words)}")

    @checked(
        command=either(TEXT, TEXTS),
        interval=NUMBER,
        timeout=NUMBER,
        start_period=NUMBER,
        retries=INTEGER,
    )
    def healthcheck(
        self,
        command: str | Sequence[str],
        *,
        interval: float = 0,
        timeout: float = 0,
        start_period: float = 0,
        retries: int = 0,
    ) -> State:
        """Set the health check of the image. Times are in seconds; 0 is the runtime's default."""
        test = ["CMD-SHELL", command] if isinstance(command, str) else ["CMD", *command]
        times = {"Interval": interval, "Timeout": timeout, "StartPeriod": start_period}
        document: dict[str, Any] = {"Test": test}
        document |= {key: int(value * 1e9) for key, value in times.items() if value}
        if retries:
            document["Retries"] = retries
        return self._set("Healthcheck", document, f"HEALTHCHECK {test}")

    @checked()
    def in_group(self, name: str) -> State:
        """Show the steps that follow as one, called `name`, in progress displays. "" ends it."""
        group = None if not name else OpProgressGroup(str(digest_of(name.encode())), name)

        def evaluate(_: Evaluation, values: tuple[Value, ...]) -> Value:
            return values[0]._replace(group=group)

        return State(Node(evaluate, (self.node,)))

    def _set(self, key: str, value: Any, history: str) -> State:
        return self._configured(lambda config: config.settings.update({key: value}), history)

    def _configured(self, change: Callable[[ImageConfig], None], history: str) -> State:
        def evaluate(_: Evaluation, values: tuple[Value, ...]) -> Value:
            [value] = values
            config = value.config.copy()
            change(config)
            config.note(history)
            return value._replace(config=config)

        return State(Node(evaluate, (self.node,)))

    def _files(
        self, actions: Sequence[MakeAction], owner: str, name: str, source: State | None = None
    ) -> State:
        def evaluate(evaluation: Evaluation, values: tuple[Value, ...]) -> Value:
            return evaluate_file_op(actions, owner, name, values, evaluation, node.caller)

        parents = (self.node,) if source is None else (self.node, source.node)
        node = Node(evaluate, parents)
        return State(node)


def _check(check: Callable[..., Any], *values: Any) -> Any:
    """Call a check of arguments. Its error gets the caller's line."""
    try:
        return check(*values)
    except InvalidInput as error:
        raise at_caller(error) from None

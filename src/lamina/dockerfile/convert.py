"""One stage to LLB: its instructions in order, each on the state that the last one left."""

from __future__ import annotations

import posixpath
from contextlib import suppress
from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput, LaminaError
from lamina.base.gotext import listed, quoted
from lamina.base.named_tuple import NamedTuple
from lamina.base.redact import redacted
from lamina.dockerfile import instruction as ast
from lamina.dockerfile.args import SILENT_ARGS
from lamina.dockerfile.checks.steps import StepChecks
from lamina.dockerfile.expand import Expander, ExpansionLimit
from lamina.dockerfile.file_ops import (
    capital,
    config_of,
    owner,
)
from lamina.dockerfile.graph import Step
from lamina.dockerfile.image_config import DEFAULT_PATH
from lamina.llb.op import (
    NO_INPUT,
    FileAction,
    FileOp,
    MkDirAction,
    Op,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from lamina.base.platform import Platform
    from lamina.dockerfile.bases import Bases
    from lamina.dockerfile.checks.checker import Checker
    from lamina.dockerfile.lexer import Node
    from lamina.dockerfile.stage import Stage, Task
    from lamina.llb.op import (
        CDIDevice,
        LinuxResources,
        OpProgressGroup,
        ProxyEnv,
        SourceInfo,
        Ulimit,
    )

_SIGNALS = (
    "ABRT ALRM BUS CHLD CLD CONT FPE HUP ILL INT IO IOT KILL PIPE POLL PROF PWR QUIT SEGV STKFLT "
    "STOP SYS TERM TRAP TSTP TTIN TTOU URG USR1 USR2 VTALRM WINCH XCPU XFSZ RTMIN RTMAX"
)


class Settings(NamedTuple):
    """What holds for all stages. `epoch` is in seconds, `shm_size` in bytes."""

    build_args: dict[str, str]
    global_args: dict[str, str]
    escape: str
    platform: Platform
    epoch: int | None
    source: SourceInfo
    proxy: ProxyEnv | None
    network: str
    hostname: str
    cgroup_parent: str
    extra_hosts: tuple[tuple[str, str], ...]
    shm_size: int
    ulimits: tuple[Ulimit, ...]
    cache_namespace: str
    resources: LinuxResources | None = None
    devices: tuple[CDIDevice, ...] = ()

    @property
    def timestamp(self) -> int:
        """The time of folders that are made, in nanoseconds; -1 is now."""
        return -1 if self.epoch is None else self.epoch * 10**9


class Conversion:
    """Converts stages; those that a stage needs must be converted before it."""

    def __init__(self, settings: Settings, bases: Bases, checker: Checker) -> None:
        self.settings = settings
        self.limit = ExpansionLimit()
        self.bases = bases
        self.checker = checker

    def run(self, stage: Stage) -> None:
        """Convert all of a stage's instructions. Raises InvalidInput, located."""
        stage.done = True
        if stage.base is not None:
            _inherit(stage, stage.base)
        config = config_of(stage)
        stage.platform = stage.platform or self.settings.platform
        if stage.platform.os != "windows" and not any(name == "PATH" for name, _ in config.env):
            config.set_env("PATH", DEFAULT_PATH)
        for name, value in config.env:
            stage.set_env(name, value)
        if config.working_dir:
            self._enter(stage, config.working_dir)
        for task in stage.tasks:
            try:
                self._convert(stage, task)
            except LaminaError as error:
                raise error.at(task.instruction.node.location) from None

    def expander(self, stage: Stage) -> Expander:
        return Expander(stage.env, self.settings.escape, limit=self.limit)

    def words(self, stage: Stage, checks: StepChecks) -> Callable[[str], str]:
        """Expands an instruction's words; variables that nothing defines are reported."""

        def word(text: str) -> str:
            expander = self.expander(stage)
            try:
                return expander.word(text)
            finally:
                if expander.unset:
                    checks.variables(expander.unset)

        return word

    def shown(self, stage: Stage, node: Node) -> str:
        """An instruction as its step's name: variables filled in, the keyword in capitals, URLs
        without passwords."""
        text = node.original.strip()
        # What cannot be expanded is shown as it is.
        with suppress(InvalidInput):
            text = self.expander(stage).word(text)
        return redacted(capital(text))

    def step(
        self,
        op: Op,
        parents: tuple[Step | None, ...],
        name: str,
        task: Task,
        *,
        ignore_cache: bool = False,
        group: OpProgressGroup | None = None,
    ) -> Step:
        """A step whose op says by itself where its inputs are."""
        return Step(
            lambda _: op,
            parents,
            name=name,
            ignore_cache=ignore_cache,
            group=group,
            source=self.settings.source,
            location=task.instruction.node.location,
        )

    def note(self, stage: Stage, text: str, *, layer: bool = False) -> None:
        """Add to the image's history, which is published: URLs without passwords."""
        config_of(stage).note(redacted(text), layer=layer, epoch=self.settings.epoch)

    def _convert(self, stage: Stage, task: Task) -> None:
        checks = StepChecks(self.checker, stage, task.instruction)
        word = self.words(stage, checks)
        match task.instruction:
            case ast.Run():
                from lamina.dockerfile.convert_run import convert_run

                convert_run(self, stage, task, task.instruction, word)
            case ast.Copy():
                from lamina.dockerfile.convert_copy import convert_copy

                convert_copy(self, stage, task, task.instruction, checks)
            case ast.Arg() as arg:
                self._arg(stage, arg, checks)
            case ast.Env() as env:
                pairs = [(word(pair.key), word(pair.value)) for pair in env.pairs]
                checks.pairs(env.pairs)
                for name, value in pairs:
                    checks.secret(name)
                    stage.set_env(name, value)
                    config_of(stage).set_env(name, value)
                self.note(stage, " ".join(("ENV", *(f"{k}={v}" for k, v in pairs))))
            case ast.Label() as label:
                pairs = [(word(pair.key), word(pair.value)) for pair in label.pairs]
                checks.pairs(label.pairs)
                config_of(stage).set_labels(pairs)
                self.note(stage, " ".join(("LABEL", *(f"{k}={v}" for k, v in pairs))))
            case ast.Workdir() as workdir:
                path = word(workdir.path)
                checks.working_directory(path)
                self._workdir(stage, task, path)
            case ast.User() as user:
                name = word(user.user)
                config_of(stage).settings["User"] = name
                self.note(stage, f"USER {name}")
            case ast.Expose() as expose:
                self._expose(stage, expose, checks)
            case ast.Volume() as volume:
                paths = [word(path) for path in volume.paths]
                if not all(paths):
                    raise InvalidInput("VOLUME specified can not be an empty string")
                config_of(stage).add_names("Volumes", paths)
                self.note(stage, f"VOLUME {listed(paths)}")
            case ast.Cmd() as cmd:
                checks.once()
                words = self._words(stage, cmd.command, checks)
                config_of(stage).settings.update(Cmd=list(words), ArgsEscaped=True)
                self.note(stage, f"CMD {quoted(words)}")
            case ast.Entrypoint() as entrypoint:
                checks.once()
                words = self._words(stage, entrypoint.command, checks)
                config_of(stage).settings["Entrypoint"] = list(words)
                if "CMD" not in stage.only_once:
                    # An inherited command was made for an inherited entry point.
                    config_of(stage).settings.pop("Cmd", None)
                self.note(stage, f"ENTRYPOINT {quoted(words)}")
            case ast.Shell() as shell:
                config_of(stage).settings["Shell"] = list(shell.words)
                self.note(stage, f"SHELL {listed(shell.words)}")
            case ast.StopSignal() as stop:
                signal = _check_signal(word(stop.signal))
                config_of(stage).settings["StopSignal"] = signal
                self.note(stage, f"STOPSIGNAL {signal}")
            case ast.HealthCheck() as check:
                checks.once()
                self._health_check(stage, check)
            case ast.OnBuild() as on_build:
                settings = config_of(stage).settings
                settings["OnBuild"] = [*settings.get("OnBuild", ()), on_build.trigger]
            case ast.Maintainer() as maintainer:
                config_of(stage).author = maintainer.name
                self.note(stage, f"MAINTAINER {maintainer.name}")

    @staticmethod
    def _words(stage: Stage, command: ast.Command, checks: StepChecks) -> tuple[str, ...]:
        if command.shell:
            config = config_of(stage)
            checks.shell_form(chosen_shell=bool(config.settings.get("Shell")))
            return config.shell_command(command.args)
        return command.args

    def _arg(self, stage: Stage, arg: ast.Arg, checks: StepChecks) -> None:
        written = []
        word = self.words(stage, checks)
        for name, default in arg.args:
            checks.secret(name)
            value = self.settings.build_args.get(name)
            if value is None and default is not None:
                value = word(default)
            elif value is None:
                value = self.settings.global_args.get(name)
            if value is not None and name not in SILENT_ARGS:
                stage.set_env(name, value)
            stage.args.append((name, value))
            written.append(name if value is None else f"{name}={value}")
        self.note(stage, " ".join(("ARG", *written)))

    def _enter(self, stage: Stage, path: str) -> None:
        """Change the working directory."""
        config = config_of(stage)
        if not path:
            path = config.working_dir or "/"
        if not path.startswith("/"):
            path = posixpath.normpath(posixpath.join("/", config.working_dir, path))
        config.settings["WorkingDir"] = path
        stage.directory = path

    def _workdir(self, stage: Stage, task: Task, path: str) -> None:
        self._enter(stage, path)
        path = stage.directory
        if path == "/":
            self.note(stage, "WORKDIR /")
            return
        base = NO_INPUT if stage.tree is None else 0
        mkdir = MkDirAction(
            path=posixpath.normpath("/" + path.lstrip("/")),
            mode=0o755,
            make_parents=True,
            owner=owner(config_of(stage).user, base),
            timestamp=self.settings.timestamp,
        )
        action = FileAction(base, NO_INPUT, 0, mkdir=mkdir)
        name = stage.step_name(self.shown(stage, task.instruction.node), triggered=task.triggered)
        stage.tree = self.step(Op(file=FileOp((action,))), (stage.tree,), name, task)
        self.note(stage, f"WORKDIR {path}", layer=True)

    def _expose(self, stage: Stage, expose: ast.Expose, checks: StepChecks) -> None:
        from lamina.dockerfile.ports import parse_ports

        expander = self.expander(stage)
        words = [word for text in expose.ports for word in expander.words(text)]
        ports = parse_ports(words)
        for word in words:
            checks.port(word)
        config_of(stage).add_names("ExposedPorts", ports)
        self.note(stage, f"EXPOSE {listed(ports)}")

    def _health_check(self, stage: Stage, check: ast.HealthCheck) -> None:
        from lamina.dockerfile.health import format_duration

        times = {
            "Interval": check.interval,
            "Timeout": check.timeout,
            "StartPeriod": check.start_period,
            "StartInterval": check.start_interval,
        }
        health: dict[str, object] = {"Test": list(check.test)}
        health.update({key: time for key, time in times.items() if time})
        if check.retries:
            health["Retries"] = check.retries
        config_of(stage).settings["Healthcheck"] = health
        shown = " ".join(f"{key}:{format_duration(time)}" for key, time in times.items())
        self.note(
            stage, f"HEALTHCHECK {{Test:{listed(check.test)} {shown} Retries:{check.retries}}}"
        )


def _inherit(stage: Stage, base: Stage) -> None:
    """Begin where another stage ended. Triggers are not passed on."""
    stage.tree = base.tree
    stage.platform = base.platform
    stage.config = config_of(base).copy()
    stage.config.settings.pop("OnBuild", None)
    stage.base_config = base.base_config
    stage.env = dict(base.env)
    stage.args = list(base.args)
    stage.directory = base.directory
    stage.entered = base.entered
    stage.needed = base.needed


def _check_signal(text: str) -> str:
    name = text.upper().removeprefix("SIG")
    signals = _SIGNALS.split()
    known = name in signals or name.startswith(("RTMIN+", "RTMAX-"))
    if text.isascii() and text.isdecimal() and len(text) < 4:
        known = int(text) > 0
    if not known:
        from lamina.dockerfile.suggest import suggest

        hint = suggest(f"SIG{name}", [f"SIG{signal}" for signal in signals])
        raise InvalidInput(f"invalid signal: {text}", hint=hint or "write SIGTERM, or a number")
    return text

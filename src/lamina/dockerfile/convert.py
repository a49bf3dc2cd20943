"""One stage to LLB: its instructions in order, each on the result of the previous one."""

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
    from collections.abc import Callable, Mapping

    from lamina.base.platform import Platform
    from lamina.dockerfile.bases import Bases
    from lamina.dockerfile.checks.checker import Checker
    from lamina.dockerfile.lexer import Node
    from lamina.dockerfile.options import FrontendOptions
    from lamina.dockerfile.stage import Stage, Task
    from lamina.dockerfile.stage_state import StageState
    from lamina.dockerfile.stage_table import StageTable
    from lamina.llb.op import OpProgressGroup, ProxyEnv, SourceInfo

_SIGNALS = (
    "ABRT ALRM BUS CHLD CLD CONT FPE HUP ILL INT IO IOT KILL PIPE POLL PROF PWR QUIT SEGV STKFLT "
    "STOP SYS TERM TRAP TSTP TTIN TTOU URG USR1 USR2 VTALRM WINCH XCPU XFSZ RTMIN RTMAX"
)


class Settings(NamedTuple):
    """Settings of all stages. `epoch` is in seconds."""

    build_args: dict[str, str]
    global_args: dict[str, str]
    escape: str
    platform: Platform
    epoch: int | None
    source: SourceInfo
    proxy: ProxyEnv | None
    cache_namespace: str
    options: FrontendOptions

    @property
    def timestamp(self) -> int:
        """The time of new directories, in nanoseconds; -1 is now."""
        return -1 if self.epoch is None else self.epoch * 10**9


class Conversion:
    """Converts stages. The stages that a stage needs must be converted before it.

    `starts` are the states of stages whose base is not another stage. `converted` are those of
    stages that need no more conversion.
    """

    def __init__(
        self,
        settings: Settings,
        bases: Bases,
        table: StageTable,
        starts: Mapping[Stage, StageState],
        checker: Checker,
    ) -> None:
        self.settings = settings
        self.limit = ExpansionLimit()
        self.bases = bases
        self.checker = checker
        self.converted = {
            stage: state for stage, state in starts.items() if not stage.has_instructions
        }
        self._table = table
        self._starts = starts

    def run(self, stage: Stage) -> None:
        """Convert all of a stage's instructions. Raises InvalidInput, located."""
        state = self._start(stage)
        self.converted[stage] = state
        config = state.config
        if state.platform.os != "windows" and not any(name == "PATH" for name, _ in config.env):
            config.set_env("PATH", DEFAULT_PATH)
        for name, value in config.env:
            state.set_env(name, value)
        if config.working_dir:
            self._enter(state, config.working_dir)
        for task in self._table.tasks[stage]:
            try:
                self._convert(state, task)
            except LaminaError as error:
                raise error.at(task.instruction.node.location) from None

    def _start(self, stage: Stage) -> StageState:
        label, total = self._table.label(stage), self._table.total(stage)
        if stage.base is not None:
            return self.converted[stage.base].successor(stage, label=label, total=total)
        state = self._starts[stage]
        state.total = total  # ONBUILD triggers may have been added
        return state

    def expander(self, state: StageState) -> Expander:
        return Expander(state.env, self.settings.escape, limit=self.limit)

    def words(self, state: StageState, checks: StepChecks) -> Callable[[str], str]:
        """Expands an instruction's words; variables that nothing defines are reported."""

        def word(text: str) -> str:
            expander = self.expander(state)
            try:
                return expander.word(text)
            finally:
                if expander.unset:
                    checks.variables(expander.unset)

        return word

    def shown(self, state: StageState, node: Node) -> str:
        """An instruction as its step's name: variables filled in, the keyword in capitals, URLs
        without passwords."""
        text = node.original.strip()
        # A text that cannot be expanded is shown unchanged.
        with suppress(InvalidInput):
            text = self.expander(state).word(text)
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
        """Make a step whose op assigns its own inputs."""
        return Step(
            lambda _: op,
            parents,
            name=name,
            ignore_cache=ignore_cache,
            group=group,
            source=self.settings.source,
            location=task.instruction.node.location,
        )

    def note(self, state: StageState, text: str, *, layer: bool = False) -> None:
        """Add to the image's history, which is published: URLs without passwords."""
        state.config.note(redacted(text), layer=layer, epoch=self.settings.epoch)

    def _convert(self, state: StageState, task: Task) -> None:
        checks = StepChecks(self.checker, state, task.instruction)
        word = self.words(state, checks)
        match task.instruction:
            case ast.Run():
                from lamina.dockerfile.convert_run import convert_run

                convert_run(self, state, task, task.instruction, word)
            case ast.Copy():
                from lamina.dockerfile.convert_copy import convert_copy

                convert_copy(self, state, task, task.instruction, checks)
            case ast.Arg() as arg:
                self._arg(state, arg, checks)
            case ast.Env() as env:
                pairs = [(word(pair.key), word(pair.value)) for pair in env.pairs]
                checks.pairs(env.pairs)
                for name, value in pairs:
                    checks.secret(name)
                    state.set_env(name, value)
                    state.config.set_env(name, value)
                self.note(state, " ".join(("ENV", *(f"{k}={v}" for k, v in pairs))))
            case ast.Label() as label:
                pairs = [(word(pair.key), word(pair.value)) for pair in label.pairs]
                checks.pairs(label.pairs)
                state.config.set_labels(pairs)
                self.note(state, " ".join(("LABEL", *(f"{k}={v}" for k, v in pairs))))
            case ast.Workdir() as workdir:
                path = word(workdir.path)
                checks.working_directory(path)
                self._workdir(state, task, path)
            case ast.User() as user:
                name = word(user.user)
                state.config.settings["User"] = name
                self.note(state, f"USER {name}")
            case ast.Expose() as expose:
                self._expose(state, expose, checks)
            case ast.Volume() as volume:
                paths = [word(path) for path in volume.paths]
                if not all(paths):
                    raise InvalidInput("VOLUME specified can not be an empty string")
                state.config.add_names("Volumes", paths)
                self.note(state, f"VOLUME {listed(paths)}")
            case ast.Cmd() as cmd:
                checks.once()
                words = self._words(state, cmd.command, checks)
                state.config.settings.update(Cmd=list(words), ArgsEscaped=True)
                self.note(state, f"CMD {quoted(words)}")
            case ast.Entrypoint() as entrypoint:
                checks.once()
                words = self._words(state, entrypoint.command, checks)
                state.config.settings["Entrypoint"] = list(words)
                if "CMD" not in state.only_once:
                    # An inherited command was made for an inherited entry point.
                    state.config.settings.pop("Cmd", None)
                self.note(state, f"ENTRYPOINT {quoted(words)}")
            case ast.Shell() as shell:
                state.config.settings["Shell"] = list(shell.words)
                self.note(state, f"SHELL {listed(shell.words)}")
            case ast.StopSignal() as stop:
                signal = _check_signal(word(stop.signal))
                state.config.settings["StopSignal"] = signal
                self.note(state, f"STOPSIGNAL {signal}")
            case ast.HealthCheck() as check:
                checks.once()
                self._health_check(state, check)
            case ast.OnBuild() as on_build:
                settings = state.config.settings
                settings["OnBuild"] = [*settings.get("OnBuild", ()), on_build.trigger]
            case ast.Maintainer() as maintainer:
                state.config.author = maintainer.name
                self.note(state, f"MAINTAINER {maintainer.name}")

    @staticmethod
    def _words(state: StageState, command: ast.Command, checks: StepChecks) -> tuple[str, ...]:
        if command.shell:
            config = state.config
            checks.shell_form(chosen_shell=bool(config.settings.get("Shell")))
            return config.shell_command(command.args)
        return command.args

    def _arg(self, state: StageState, arg: ast.Arg, checks: StepChecks) -> None:
        written = []
        word = self.words(state, checks)
        for name, default in arg.args:
            checks.secret(name)
            value = self.settings.build_args.get(name)
            if value is None and default is not None:
                value = word(default)
            elif value is None:
                value = self.settings.global_args.get(name)
            if value is not None and name not in SILENT_ARGS:
                state.set_env(name, value)
            state.args.append((name, value))
            written.append(name if value is None else f"{name}={value}")
        self.note(state, " ".join(("ARG", *written)))

    def _enter(self, state: StageState, path: str) -> None:
        """Change the working directory."""
        config = state.config
        if not path:
            path = config.working_dir or "/"
        if not path.startswith("/"):
            path = posixpath.normpath(posixpath.join("/", config.working_dir, path))
        config.settings["WorkingDir"] = path
        state.directory = path

    def _workdir(self, state: StageState, task: Task, path: str) -> None:
        self._enter(state, path)
        path = state.directory
        if path == "/":
            self.note(state, "WORKDIR /")
            return
        base = NO_INPUT if state.tree is None else 0
        mkdir = MkDirAction(
            path=posixpath.normpath("/" + path.lstrip("/")),
            mode=0o755,
            make_parents=True,
            owner=owner(state.config.user, base),
            timestamp=self.settings.timestamp,
        )
        action = FileAction(base, NO_INPUT, 0, mkdir=mkdir)
        name = state.step_name(self.shown(state, task.instruction.node), triggered=task.triggered)
        state.tree = self.step(Op(file=FileOp((action,))), (state.tree,), name, task)
        self.note(state, f"WORKDIR {path}", layer=True)

    def _expose(self, state: StageState, expose: ast.Expose, checks: StepChecks) -> None:
        from lamina.dockerfile.ports import parse_ports

        expander = self.expander(state)
        words = [word for text in expose.ports for word in expander.words(text)]
        ports = parse_ports(words)
        for word in words:
            checks.port(word)
        state.config.add_names("ExposedPorts", ports)
        self.note(state, f"EXPOSE {listed(ports)}")

    def _health_check(self, state: StageState, check: ast.HealthCheck) -> None:
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
        state.config.settings["Healthcheck"] = health
        shown = " ".join(f"{key}:{format_duration(time)}" for key, time in times.items())
        self.note(
            state, f"HEALTHCHECK {{Test:{listed(check.test)} {shown} Retries:{check.retries}}}"
        )


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

"""The stages of a Dockerfile step by step: the variables, user and directory of each, and the
programs of each RUN."""

from __future__ import annotations

import posixpath
from contextlib import suppress
from typing import TYPE_CHECKING

from lamina.advise.programs import exec_invocation, invocation
from lamina.advise.shell import parse_script
from lamina.advise.source import shell_fragment
from lamina.base.errors import InvalidInput
from lamina.base.named_tuple import NamedTuple
from lamina.dockerfile import instruction as ast
from lamina.dockerfile.expand import Expander
from lamina.dockerfile.mounts import parse_mount
from lamina.dockerfile.stage import read_stages

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lamina.advise.programs import Invocation
    from lamina.advise.source import Fragment, SourceText
    from lamina.dockerfile.mounts import RunMount

_SHELLS = frozenset(("sh", "bash", "ash", "dash", "zsh", "ksh"))
_WINDOWS = ("windows", "nanoserver", "servercore")


class Situation(NamedTuple):
    """The state before a step.

    `variables` are those of ENV, `arguments` those of ARG as well. A `directory` or `user` of the
    base image is not known: then they are "/" and "". `shell` says that RUN lines are POSIX shell.
    `escape` is the escape character of the Dockerfile.
    """

    variables: Mapping[str, str]
    arguments: Mapping[str, str]
    directory: str = "/"
    user: str = ""
    shell: bool = True
    escape: str = "\\"

    def expand(self, text: str) -> str:
        """A word with its variables. Those that are not known stay, and so does a word that cannot
        be expanded: a build reports that."""
        try:
            return Expander(self.arguments, self.escape, keep_unset=True).word(text)
        except InvalidInput:
            return text

    def path(self, text: str) -> str:
        """An absolute path. For `~`, only root's home directory is known."""
        if text == "~" or text.startswith("~/"):
            text = self.variables.get("HOME", "/root") + text[1:]
        path = posixpath.normpath(posixpath.join(self.directory, text))
        return path[1:] if path.startswith("//") else path


class Step(NamedTuple):
    """One instruction of a stage.

    For a RUN in shell form, `script` is its text and `invocations` what it runs, or None if it
    cannot be read; for the exec form `invocations` is the one program, without positions.
    `mounts` are its mounts, expanded.
    """

    instruction: ast.Instruction
    before: Situation
    script: Fragment | None = None
    invocations: tuple[Invocation, ...] | None = None
    mounts: tuple[RunMount, ...] = ()

    @property
    def line(self) -> int:
        return self.instruction.node.location.start

    @property
    def text(self) -> str:
        """The instruction on one line."""
        return self.instruction.node.original.strip()

    @property
    def shown(self) -> str:
        """The instruction on one line with its variables, as progress displays it."""
        rules = Expander(
            self.before.arguments, self.before.escape, raw_quotes=True, keep_unset=True
        )
        with suppress(InvalidInput):
            return rules.word(self.text)
        return self.text


class Stage(NamedTuple):
    """A stage. `base` is the index of the stage that it is built on, None for an image.

    `image` is the image that the stage, or the lowest stage below it, is built on.
    """

    number: int
    name: str
    image: str
    base: int | None
    steps: tuple[Step, ...]
    after: Situation


class Plan(NamedTuple):
    """All stages, and the number of the one to build."""

    source: SourceText
    stages: tuple[Stage, ...]
    target: int

    def chain(self, stage: Stage) -> list[Stage]:
        """The stage and those below it, the lowest first."""
        found = [stage]
        while (base := found[-1].base) is not None:
            found.append(self.stages[base])
        return found[::-1]

    def above(self, stage: Stage) -> list[Stage]:
        """The stage, and all that are built on it."""
        return [other for other in self.stages if stage in self.chain(other)]

    def needed(self) -> set[int]:
        """The numbers of the stages that the target needs."""
        found: set[int] = set()
        waiting = [self.target]
        while waiting:
            number = waiting.pop()
            if number in found:
                continue
            found.add(number)
            stage = self.stages[number]
            waiting += [stage.base] if stage.base is not None else []
            for step in stage.steps:
                waiting += [n for n in map(self._number, origins(step)) if n is not None]
        return found

    def from_stage(self, origin: str) -> Stage | None:
        """The stage that a `--from` or `from=` names, if it is one."""
        number = self._number(origin)
        return None if number is None else self.stages[number]

    def _number(self, origin: str) -> int | None:
        if origin.isdecimal() and len(origin) < 6:
            return int(origin) if int(origin) < len(self.stages) else None
        return next((s.number for s in self.stages if s.name and s.name == origin.lower()), None)


def origins(step: Step) -> list[str]:
    """The names of stages, images and contexts that a step takes files from."""
    one = step.instruction
    if isinstance(one, ast.Copy):
        return [one.origin] if one.origin else []
    if isinstance(one, ast.Run):
        return [origin for origin in one.origins if origin]
    return []


def read_plan(source: SourceText, build_args: Mapping[str, str], target: str = "") -> Plan:
    """Read all stages. Raises InvalidInput, located."""
    document = source.document
    parts = read_stages(document)
    walk = _Walk(source, build_args)
    empty = Situation({}, {}, escape=document.escape)
    global_args: dict[str, str] = {}
    for arg in parts.args:
        global_args |= walk.values(arg, empty._replace(arguments=global_args), {})
    stages: list[Stage] = []
    by_name: dict[str, int] = {}
    for number, text in enumerate(parts.stages):
        image = empty._replace(arguments=global_args).expand(text.head.image)
        base = by_name.get(image.lower())
        if base is None:
            windows = any(part in image.lower() for part in _WINDOWS)
            start = empty._replace(shell=not windows)
        else:
            image = stages[base].image
            start = stages[base].after
            start = start._replace(arguments=start.variables)
        steps, after = walk.steps(text.body, start, global_args)
        stages.append(Stage(number, text.head.name, image, base, steps, after))
        if text.head.name:
            by_name[text.head.name] = number
    chosen = by_name.get(target.lower(), -1) if target else len(stages) - 1
    if chosen < 0:
        raise InvalidInput(
            f'target stage "{target}" could not be found',
            hint=f"stages are {', '.join(by_name)}" if by_name else "no stage has a name",
        )
    return Plan(source, tuple(stages), chosen)


class _Walk:
    def __init__(self, source: SourceText, build_args: Mapping[str, str]) -> None:
        self._source = source
        self._build_args = build_args

    def values(
        self, arg: ast.Arg, situation: Situation, global_args: Mapping[str, str]
    ) -> dict[str, str]:
        found = {}
        for name, default in arg.args:
            if name in self._build_args:
                found[name] = self._build_args[name]
            elif default is not None:
                found[name] = situation.expand(default)
            elif name in global_args:
                found[name] = global_args[name]
        return found

    def steps(
        self, body: tuple[ast.Instruction, ...], start: Situation, global_args: Mapping[str, str]
    ) -> tuple[tuple[Step, ...], Situation]:
        now = start
        steps = []
        for one in body:
            steps.append(self._step(one, now))
            now = self._after(one, now, global_args)
        return tuple(steps), now

    def _step(self, one: ast.Instruction, now: Situation) -> Step:
        if not isinstance(one, ast.Run):
            return Step(one, now)
        mounts = []
        for text in one.mounts:
            try:
                mounts.append(parse_mount(text, now.expand))
            except InvalidInput:
                continue  # a build reports it
        if not one.command.shell:
            found = exec_invocation(one.command.args)
            return Step(one, now, None, (found,) if found else None, tuple(mounts))
        script = shell_fragment(self._source, one.node) if now.shell else None
        commands = parse_script(script.text) if script is not None else None
        if commands is None:
            return Step(one, now, None, None, tuple(mounts))
        found_all = tuple(filter(None, map(invocation, commands)))
        return Step(one, now, script, found_all, tuple(mounts))

    def _after(
        self, one: ast.Instruction, now: Situation, global_args: Mapping[str, str]
    ) -> Situation:
        match one:
            case ast.Env():
                variables, arguments = dict(now.variables), dict(now.arguments)
                for key, value, _ in one.pairs:
                    variables[key] = arguments[key] = now.expand(value)
                return now._replace(variables=variables, arguments=arguments)
            case ast.Arg():
                # ENV has precedence over ARG.
                found = self.values(one, now, global_args)
                return now._replace(arguments={**now.arguments, **found, **now.variables})
            case ast.Workdir():
                return now._replace(directory=now.path(now.expand(one.path)))
            case ast.User():
                return now._replace(user=now.expand(one.user).partition(":")[0])
            case ast.Shell():
                name = posixpath.basename(one.words[0])
                return now._replace(shell=name in _SHELLS)
        return now

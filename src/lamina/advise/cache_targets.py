"""Finds the caches of a step's package managers, and where a mount would be wrong."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lamina.advise.ecosystems import ECOSYSTEMS, CacheTarget, Ecosystem
from lamina.advise.users import Account, account
from lamina.base.named_tuple import NamedTuple
from lamina.dockerfile import instruction as ast

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lamina.advise.context_files import ContextFiles
    from lamina.advise.programs import Invocation
    from lamina.advise.stages import Plan, Stage, Step

_COMPILING = frozenset(
    (
        *("make", "cmake", "ninja", "meson", "configure", "bazel", "scons"),
        *("gcc", "g++", "cc", "c++", "clang", "clang++"),
    )
)
_INSTALLERS = frozenset(program for row in ECOSYSTEMS for program in row.programs)


class CacheMount(NamedTuple):
    """A cache mount that a step of a user should have.

    `path` is absolute, `flag` the whole flag.
    """

    path: str
    keeps: str
    flag: str
    user: str
    store: bool
    ecosystem: str
    programs: frozenset[str]


def matches(ecosystem: Ecosystem, found: Invocation) -> tuple[CacheTarget, ...]:
    """The cache directories that a command uses, if it is one of this ecosystem."""
    if found.program not in ecosystem.programs:
        return ()
    # Wrappers download their program, even for this.
    if found.has_flag("--version") and found.program not in ("gradlew", "mvnw"):
        return ()
    subcommand = found.subcommand(ecosystem.valued)
    for use in ecosystem.uses:
        if (
            not use.subcommands
            or subcommand in use.subcommands
            or (subcommand and "*" in use.subcommands)
        ):
            return use.targets
    return ()


def applicable(stage: Stage, files: ContextFiles) -> list[Ecosystem]:
    """The rows of the table for the base image of a stage and the files of the context."""
    rows: list[Ecosystem] = []
    taken: set[str] = set()
    for row in ECOSYSTEMS:
        if row.programs <= taken:
            continue
        if row.bases and re.search(row.bases, stage.image) is None:
            continue
        if row.without_file and row.without_file in files:
            continue
        if row.file and (row.file not in files or row.containing not in files.text(row.file)):
            continue
        rows.append(row)
        taken |= row.programs
    return rows


def uses_ccache(step: Step) -> bool:
    """Whether a RUN compiles with ccache: it is named in the command or by a variable."""
    for found in step.invocations or ():
        if found.program in _INSTALLERS:
            continue
        words = [word.value for word in found.command.words]
        if found.program == "ccache" and found.has_flag("-s", "-M", "-z", "--version"):
            continue
        if any(re.search(r"\bccache\b", word) for word in words if not word.startswith("/etc")):
            return True
        if found.program in _COMPILING and any(
            re.search(r"\bccache\b", value) for value in step.before.variables.values()
        ):
            return True
    return False


class Targets:
    """Resolves cache directories for the steps of a Dockerfile."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan

    def mount(
        self,
        stage: Stage,
        step: Step,
        target: CacheTarget,
        row: str = "ccache",
        programs: frozenset[str] = frozenset(),
        *,
        sudo: bool = False,
    ) -> CacheMount | None:
        """The mount for a directory; None if it would be wrong or its path is not known."""
        user = Account("/root") if sudo else account(self._plan, stage, step)
        if user is None:
            return None
        path = self._path(stage, step, target, user.home)
        if not path.startswith("/") or "$" in path or any(c in path for c in " ,\"'"):
            return None
        sharing = f",sharing={target.sharing}" if target.sharing else ""
        flag = f"--mount=type=cache,target={path}{sharing}{user.owner}"
        found = CacheMount(path, target.keeps, flag, step.before.user, target.store, row, programs)
        return None if self._is_read(stage, found) or self._is_written(stage, step, path) else found

    def _path(self, stage: Stage, step: Step, target: CacheTarget, home: str) -> str:
        for name, suffix in target.variables:
            value = step.before.arguments.get(name, "").rstrip("/")
            if value:
                return value + suffix
        for pattern, path in target.bases:
            if re.search(pattern, stage.image) and (pattern or home == "/root"):
                return path
        return home + target.path[1:] if target.path.startswith("~/") else target.path

    def _is_read(self, stage: Stage, mount: CacheMount) -> bool:
        """Whether the image needs the files: another stage copies them, or the program runs."""
        above = self._plan.above(stage)
        for other in self._plan.stages:
            for step in other.steps:
                for origin, path in _reads(step):
                    from_stage = self._plan.from_stage(origin)
                    if from_stage in above and _overlap(path, mount.path) and path != "/":
                        return True
        return mount.store and any(
            _runs(step.instruction, mount.programs) for other in above for step in other.steps
        )

    def _is_written(self, stage: Stage, step: Step, path: str) -> bool:
        """Whether an earlier step puts files there that a mount would hide."""
        for below in self._plan.chain(stage):
            for other in below.steps:
                if below is stage and other.line >= step.line:
                    break
                if _writes_below(other, path):
                    return True
        return False


def _overlap(one: str, other: str) -> bool:
    return one == other or one.startswith(other + "/") or other.startswith(one + "/")


def _reads(step: Step) -> Iterator[tuple[str, str]]:
    """The (stage, absolute path) of the files that a step takes from other stages."""
    one = step.instruction
    if isinstance(one, ast.Copy) and one.origin:
        for path in one.sources:
            yield one.origin, _absolute(step, path)
    for mount in step.mounts:
        if mount.origin and mount.type == "bind":
            yield mount.origin, _absolute(step, mount.source)


def _absolute(step: Step, path: str) -> str:
    before = step.before._replace(directory="/")
    return before.path(before.expand(path).split("*")[0])


def _writes_below(step: Step, path: str) -> bool:
    """Whether a step names files below a path as a destination, an argument or a redirection; or
    copies to a directory above it."""
    one = step.instruction
    if isinstance(one, ast.Copy):
        to = step.before.path(step.before.expand(one.destination))
        return _overlap(to, path) and to not in ("/", "/root")
    for found in step.invocations or ():
        if found.program in ("rm", "rmdir") or found.program in _INSTALLERS:
            continue
        for word in (*found.arguments, *found.command.targets):
            if "/" in word.value:
                named = step.before.path(step.before.expand(word.value))
                if named == path or named.startswith(path + "/"):
                    return True
    return False


def _runs(one: ast.Instruction, programs: frozenset[str]) -> bool:
    """Whether a container of the image runs one of the programs."""
    if not isinstance(one, ast.Cmd | ast.Entrypoint):
        return False
    words = " ".join(one.command.args).replace("/", " ").split()
    return any(word in programs for word in words)

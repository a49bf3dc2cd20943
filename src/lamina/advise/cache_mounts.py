"""Advice: mount caches in the steps that run package managers and compilers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lamina.advise.advice import Advice, Edit, Kind, Saving
from lamina.advise.cache_targets import CacheMount, Targets, applicable, matches, uses_ccache
from lamina.advise.clearing import Clearing, cut_words
from lamina.advise.ecosystems import CCACHE, ECOSYSTEMS
from lamina.advise.independent import may_build
from lamina.advise.pairs import names, remove_name
from lamina.dockerfile import instruction as ast

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from lamina.advise.context_files import ContextFiles
    from lamina.advise.ecosystems import Ecosystem
    from lamina.advise.programs import Invocation
    from lamina.advise.stages import Plan, Stage, Step
    from lamina.advise.times import StepTimes

_OFF = frozenset(("", "0", "false", "no", "off"))
_SHADOWING = ("cache", "bind", "tmpfs")


class _Wanted:
    """The mounts that one RUN should have, by path, and the rows of the table that they are for."""

    def __init__(self) -> None:
        self.mounts: dict[str, CacheMount] = {}
        self.rows: list[tuple[Ecosystem, Invocation]] = []


class CacheMounts:
    """Finds the mounts of all steps, and what stages pass on to those that are based on them."""

    def __init__(self, plan: Plan, files: ContextFiles, times: StepTimes) -> None:
        self._plan = plan
        self._files = files
        self._times = times
        self._targets = Targets(plan)
        self._stores: dict[int, dict[str, CacheMount]] = {}
        self._firsts: dict[int, set[str]] = {}
        self._left_out: set[tuple[int, str]] = set()

    def advise(self) -> Iterator[Advice]:
        """One item for each RUN."""
        self._left_out = self._unusable()
        for stage in self._plan.stages:
            inherited = stage.base if stage.base is not None else -1
            stores = self._stores[stage.number] = dict(self._stores.get(inherited, {}))
            firsts = self._firsts[stage.number] = set(self._firsts.get(inherited, ()))
            for number, step in enumerate(stage.steps):
                if isinstance(step.instruction, ast.Run) and step.before.shell:
                    firsts |= _marks(step)
                    advice = self._step(stage, number, step, stores, firsts)
                    if advice is not None:
                        yield advice

    def flags(self, stage: Stage, step: Step, found: Iterable[Invocation]) -> list[str]:
        """The mounts for commands that a step could run, as flags."""
        wanted = self._wanted(stage, step, found)
        return [mount.flag for mount in wanted.mounts.values()]

    def _unusable(self) -> set[tuple[int, str]]:
        """Stages and package managers whose configuration must stay.

        With the command that they need first, a step that can have no mount would leave packages in
        its layer.
        """
        found = set()
        for stage in self._plan.stages:
            for step in stage.steps:
                wanted = self._wanted(stage, step, step.invocations or ())
                names = {row.name for row, _ in wanted.rows if row.first}
                unknown = step.script is None or step.invocations is None
                if unknown and isinstance(step.instruction, ast.Run):
                    names = {row.name for row in ECOSYSTEMS if row.first and _names(step, row)}
                if names and (unknown or self._clearing(step, wanted).edits() is None):
                    affected = (*self._plan.chain(stage), *self._plan.above(stage))
                    found |= {(other.number, name) for other in affected for name in names}
        return found

    def _wanted(self, stage: Stage, step: Step, commands: Iterable[Invocation]) -> _Wanted:
        wanted = _Wanted()
        rows = applicable(stage, self._files)
        for found in commands:
            for row in rows:
                if (stage.number, row.name) in self._left_out:
                    continue
                targets = matches(row, found)
                mounts = [
                    self._targets.mount(
                        stage, step, target, row.name, row.programs, sudo=found.sudo
                    )
                    for target in targets
                ]
                if targets and None not in mounts:
                    wanted.rows.append((row, found))
                    wanted.mounts |= {mount.path: mount for mount in mounts if mount}
        if uses_ccache(step) and (mount := self._targets.mount(stage, step, CCACHE)):
            wanted.mounts[mount.path] = mount
        return wanted

    def _step(
        self,
        stage: Stage,
        number: int,
        step: Step,
        stores: dict[str, CacheMount],
        firsts: set[str],
    ) -> Advice | None:
        wanted = self._wanted(stage, step, step.invocations or ())
        own = dict(wanted.mounts)
        if stores and may_build(step):
            user = step.before.user
            usable = {path: mount for path, mount in stores.items() if mount.user == user}
            wanted.mounts = {**usable, **wanted.mounts}
        missing = [m for path, m in wanted.mounts.items() if not _is_mounted(step, path)]
        edits = self._edits(stage, number, step, wanted, missing, firsts)
        if edits is None:
            return None
        stores |= {path: mount for path, mount in own.items() if mount.store}
        if not edits:
            return None
        for row, _ in wanted.rows:
            firsts |= {row.first_mark} if row.first else set()
        reason = _reason(wanted, own, missing, removed=len(edits) > bool(missing))
        saving = Saving("time", "whenever the step runs again", self._times.seconds(step.shown))
        return Advice(Kind.CACHE_MOUNT, step.line, step.text, reason, saving, tuple(edits))

    def _edits(
        self,
        stage: Stage,
        number: int,
        step: Step,
        wanted: _Wanted,
        missing: Sequence[CacheMount],
        firsts: set[str],
    ) -> list[Edit] | None:
        """All edits for a step; None if the caches cannot be made useful."""
        source = self._plan.source
        edits: list[Edit] = []
        if missing:
            flags = source.add_flags(step.instruction.node, [mount.flag for mount in missing])
            if flags is None:
                return None
            edits.append(flags)
        clearing = self._clearing(step, wanted)
        cleared = clearing.edits()
        if cleared is None:
            return None
        edits += cleared
        edits += self._clearing_later(stage, number, wanted)
        for row, found in wanted.rows:
            command_edits = self._command_edits(stage, step, row, found)
            if command_edits is None:
                return None
            edits += command_edits
            if row.first and row.first_mark not in firsts:
                if step.script is None or (found.sudo and ">" in row.first):
                    return None
                firsts = {*firsts, row.first_mark}
                edits.append(self._first(step, row.first, sudo=found.sudo))
        return list(dict.fromkeys(edits))

    def _clearing(self, step: Step, wanted: _Wanted) -> Clearing:
        names = {row.name for row, _ in wanted.rows}
        rows = [(row.programs, row.clearing) for row in ECOSYSTEMS if row.name in names]
        return Clearing(self._plan.source, step, list(wanted.mounts), rows)

    def _clearing_later(self, stage: Stage, number: int, wanted: _Wanted) -> list[Edit]:
        """Remove later steps that do nothing but empty the caches: their layers would be empty."""
        edits = []
        for later in stage.steps[number + 1 :]:
            if not isinstance(later.instruction, ast.Run):
                continue
            clearing = self._clearing(later, wanted)
            if clearing.everything and later.script is not None:
                edits.append(self._plan.source.remove(later.instruction.node))
        return edits

    def _command_edits(
        self, stage: Stage, step: Step, row: Ecosystem, found: Invocation
    ) -> list[Edit] | None:
        """Remove what turns the cache off, and add what it needs; None if that is not possible."""
        script = step.script
        flags = [w for w in found.arguments if w.value.partition("=")[0] in row.unwanted_flags]
        prefixes = [
            word
            for word in found.command.words
            if word.start < found.name.start
            and word.value.partition("=")[0] in row.unwanted_variables
        ]
        added = [f for f in row.added_flags if not found.has_flag(f.partition("=")[0])]
        assignments = [
            text
            for text in row.assignments
            if (name := text.partition("=")[0]) not in found.assigned
            and name not in step.before.arguments
        ]
        if script is None:
            return None if flags or prefixes or added or assignments else []
        edits = cut_words(found.command, (*prefixes, *flags), script)
        if added:
            at = script.offsets[found.name.end]
            edits.append(Edit(at, at, "".join(f" {flag}" for flag in added)))
        if assignments:
            at = script.offsets[found.name.start]
            edits.append(Edit(at, at, " ".join(assignments) + " "))
        for name in sorted(row.unwanted_variables):
            if step.before.arguments.get(name, "").lower() not in _OFF:
                edit = self._unset(stage, name)
                if edit is None:
                    return None
                edits.append(edit)
        return edits

    def _unset(self, stage: Stage, name: str) -> Edit | None:
        """Remove the ENV or ARG that sets a variable."""
        for below in reversed(self._plan.chain(stage)):
            for step in reversed(below.steps):
                if name in names(step.instruction):
                    return remove_name(self._plan.source, step.instruction, name)
        return None

    def _first(self, step: Step, command: str, *, sudo: bool) -> Edit:
        """Insert a command at the beginning of a script."""
        assert step.script is not None
        source, node = self._plan.source, step.instruction.node
        text = f"sudo {command}" if sudo else command
        if node.heredocs:
            text += source.newline
        elif source.header_end(node) - 1 == node.location.start:
            text += " && "
        else:
            text += f" && {source.document.escape}{source.newline}{source.indent(node)}"
        at = step.script.offsets[0]
        return Edit(at, at, text)


def _is_mounted(step: Step, path: str) -> bool:
    for mount in step.mounts:
        if mount.type in _SHADOWING and mount.target:
            there = step.before.path(mount.target)
            if f"{path}/".startswith(f"{there}/") or there.startswith(f"{path}/"):
                return True
    return False


def _marks(step: Step) -> set[str]:
    """The first commands that a step has."""
    text = step.text + "".join(heredoc.content for heredoc in step.instruction.node.heredocs)
    return {row.first_mark for row in ECOSYSTEMS if row.first and row.first_mark in text}


def _names(step: Step, row: Ecosystem) -> bool:
    """Whether a program of a row is named anywhere in a step that cannot be read."""
    text = step.text + "".join(heredoc.content for heredoc in step.instruction.node.heredocs)
    return not row.programs.isdisjoint(re.findall(r"[\w.-]+", text))


def _reason(
    wanted: _Wanted,
    own: dict[str, CacheMount],
    missing: Sequence[CacheMount],
    *,
    removed: bool,
) -> str:
    sentences = []
    for name in dict.fromkeys(mount.ecosystem for mount in own.values()):
        kept = [f"{m.keeps} in {m.path}" for m in own.values() if m.ecosystem == name]
        sentences.append(f"{name} keeps {' and '.join(kept)}.")
    extra = [mount for mount in missing if mount.path not in own]
    if extra:
        needs = " and ".join(dict.fromkeys(mount.ecosystem for mount in extra))
        sentences.append(f"The step may need what {needs} downloaded into a cache mount before.")
    elif missing:
        sentences.append("With a cache mount, that is available when the step runs again.")
    if removed:
        sentences.append("Commands and flags that empty the cache or turn it off are removed.")
    if any(row.first for row, _ in wanted.rows):
        sentences.append("docker-clean is the configuration that makes apt delete packages.")
    return " ".join(sentences)

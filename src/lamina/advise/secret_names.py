"""Advice: pass secrets as secret mounts, not as ARG or ENV."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lamina.advise.advice import Advice, Edit, Kind, Saving
from lamina.advise.ecosystems import ECOSYSTEMS
from lamina.advise.independent import may_build
from lamina.advise.pairs import remove_name
from lamina.dockerfile import instruction as ast
from lamina.dockerfile.checks.steps import names_secret

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lamina.advise.stages import Plan, Stage, Step

_SYSTEM = frozenset(("apt", "apk", "dnf", "microdnf", "yum"))
_INSTALLERS = frozenset(
    program for row in ECOSYSTEMS if row.name not in _SYSTEM for program in row.programs
)


def secret_names(plan: Plan) -> Iterator[Advice]:
    """One item for each secret of a stage that only RUN instructions of the stage use."""
    for stage in plan.stages:
        if len(plan.above(stage)) > 1:
            continue  # stages on top may use it
        seen: set[str] = set()
        for step in stage.steps:
            values = _values(step.instruction)
            for name, value in values.items():
                if name not in seen and names_secret(name) and _is_secret(step, value):
                    seen.add(name)
                    found = _advise(plan, stage, step, name)
                    if found is not None:
                        yield found


def _advise(plan: Plan, stage: Stage, first: Step, name: str) -> Advice | None:
    source = plan.source
    runs: list[Step] = []
    edits: list[Edit | None] = []
    defined = {name}
    for step in stage.steps[stage.steps.index(first) :]:
        one = step.instruction
        values = _values(one)
        removed = [
            other
            for other, value in values.items()
            if other == name or any(_uses(value, known) for known in defined)
        ]
        if removed:
            if not all(map(names_secret, removed)):
                return None
            edits += (remove_name(source, one, other) for other in removed)
            defined |= set(removed)
        elif isinstance(one, ast.Run):
            runs.append(step)
        elif any(_uses(one.node.original, other) for other in defined):
            return None  # not only in commands
    using = [step for step in runs if _mentioned(step, defined)]
    if not using:
        # Programs read it from the environment.
        using = [step for step in runs if _installs(step) or may_build(step)]
    for step in using:
        there = {mount.env for mount in step.mounts}
        flags = [
            f"--mount=type=secret,id={name},env={other}"
            for other in sorted(_mentioned(step, defined) or defined)
            if other not in there
        ]
        if flags:
            edits.append(source.add_flags(step.instruction.node, flags))
    if None in edits or not using:
        return None
    keyword = first.instruction.node.keyword
    reason = (
        f"The value of {keyword} {name} is readable in the image's history or configuration."
        f" A secret mount leaves no trace. Build with --secret id={name},env={name}."
    )
    if keyword == "ENV":
        reason += " If containers need it, set it when they are started."
    changes = tuple(dict.fromkeys(edit for edit in edits if edit is not None))
    saving = Saving("", "")
    return Advice(Kind.SECRET, first.line, first.text, reason, saving, changes)


def _is_secret(step: Step, value: str) -> bool:
    """Whether a value is none of another name, and not empty in an ENV."""
    empty = isinstance(step.instruction, ast.Env) and not value.strip("'\"")
    return "$" not in value and not empty


def _values(one: ast.Instruction) -> dict[str, str]:
    """The values that an ARG or ENV defines, as written."""
    match one:
        case ast.Env():
            return {pair.key: pair.value for pair in one.pairs}
        case ast.Arg():
            return {name: default or "" for name, default in one.args}
    return {}


def _uses(text: str, name: str) -> bool:
    return re.search(rf"\$\{{?{re.escape(name)}\b", text) is not None


def _mentioned(step: Step, defined: set[str]) -> set[str]:
    return {name for name in defined if _mentions(step, name)}


def _mentions(step: Step, name: str) -> bool:
    text = step.text + "".join(heredoc.content for heredoc in step.instruction.node.heredocs)
    return re.search(rf"\b{re.escape(name)}\b", text) is not None


def _installs(step: Step) -> bool:
    return any(found.program in _INSTALLERS for found in step.invocations or ())

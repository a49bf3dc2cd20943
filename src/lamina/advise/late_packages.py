"""Advice: install system packages before files are copied that the installation does not read.

With files of another stage in between, the two stages cannot run in parallel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.advise.advice import Advice, Edit, Kind, Saving
from lamina.advise.copy_order import copies_everything
from lamina.advise.independent import is_independent
from lamina.dockerfile import instruction as ast

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lamina.advise.stages import Plan, Stage, Step
    from lamina.advise.times import StepTimes

_SYSTEM = ("/etc", "/usr", "/lib", "/lib64", "/bin", "/sbin", "/var", "/root", "/home", "/tmp")
_FREE = ("/usr/local/", "/usr/src/")


def late_packages(plan: Plan, times: StepTimes) -> Iterator[Advice]:
    """One item for each installation directly behind COPY instructions."""
    for stage in plan.stages:
        for number, step in enumerate(stage.steps):
            if not _installs_only(step):
                continue
            copies = _copies_before(stage, number)
            if copies and not any(map(copies_everything, copies)):
                yield _advise(plan, copies, step, times)


def _installs_only(step: Step) -> bool:
    found = step.invocations
    return (
        isinstance(step.instruction, ast.Run)
        and step.script is not None
        and bool(found)
        and all(is_independent(one, step) for one in found or ())
        and not any(mount.type == "bind" for mount in step.mounts)
    )


def _copies_before(stage: Stage, number: int) -> list[Step]:
    copies: list[Step] = []
    for step in reversed(stage.steps[:number]):
        if not isinstance(step.instruction, ast.Copy) or not _leaves_system(step):
            break
        copies.append(step)
    return copies[::-1]


def _leaves_system(step: Step) -> bool:
    """Whether a COPY writes to no directory that package managers use."""
    one = step.instruction
    assert isinstance(one, ast.Copy)
    to = step.before.path(step.before.expand(one.destination)) + "/"
    if to.startswith(_FREE):
        return True
    return to != "//" and "$" not in to and not any(to.startswith(f"{s}/") for s in _SYSTEM)


def _advise(plan: Plan, copies: list[Step], step: Step, times: StepTimes) -> Advice:
    source = plan.source
    first, _ = source.block(copies[0].instruction.node)
    start, end = source.block(step.instruction.node)
    block = source.text[start:end].rstrip("\r\n") + source.newline
    edits = (Edit(first, first, block), Edit(start, end, ""))
    stages = [
        found
        for copy in copies
        if isinstance(copy.instruction, ast.Copy)
        and (found := plan.from_stage(copy.instruction.origin)) is not None
    ]
    seconds = times.seconds(step.shown)
    if not stages:
        reason = "The installation runs again each time that one of the copied files changes."
        saving = Saving("time", "whenever the copied files change", seconds)
        return Advice(Kind.COPY_ORDER, step.line, step.text, reason, saving, edits)
    names = " and ".join(dict.fromkeys(s.name or f"stage {s.number}" for s in stages))
    reason = (
        f"The installation waits for files of {names}, which it does not read. Before the COPY,"
        " both run in parallel, and the installation stays cached when those files change."
    )
    saving = Saving("time", f"whenever {names} changes", seconds)
    return Advice(Kind.PARALLEL, step.line, step.text, reason, saving, edits)

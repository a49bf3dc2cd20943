"""Advice: copy manifests and install dependencies before the rest of the context is copied."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from lamina.advise.advice import Advice, Edit, Kind, Saving
from lamina.advise.independent import is_independent
from lamina.advise.manifests import Install, install, is_preparation
from lamina.base.named_tuple import NamedTuple
from lamina.dockerfile import instruction as ast

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lamina.advise.context_files import ContextFiles
    from lamina.advise.stages import Plan, Stage, Step
    from lamina.advise.times import StepTimes

_EVERYTHING = (".", "./")
_INSTALLED = ("node_modules", "vendor", ".venv", "venv")
"""Directories that installations make: a later COPY would replace them with those of the
context."""
_WITHOUT_FILES = (
    ast.Env,
    ast.Arg,
    ast.Label,
    ast.Workdir,
    ast.User,
    ast.Expose,
    ast.Shell,
    ast.Maintainer,
    ast.StopSignal,
    ast.Cmd,
    ast.Entrypoint,
    ast.HealthCheck,
)


class _Split(NamedTuple):
    """How to split a RUN after the COPY.

    `files` are needed before it. `moves` if all of it can run before the COPY. Else `line` is an
    instruction that can, and `cut` removes it from the RUN.
    """

    files: tuple[str, ...]
    moves: bool = False
    line: str = ""
    cut: tuple[Edit, ...] = ()


def copy_order(plan: Plan, files: ContextFiles, times: StepTimes) -> Iterator[Advice]:
    """One item for each COPY of everything that comes before an installation."""
    for stage in plan.stages:
        for number, step in enumerate(stage.steps):
            if copies_everything(step):
                found = _advise(plan, stage, number, files, times)
                if found is not None:
                    yield found


def copies_everything(step: Step) -> bool:
    """Whether a step copies the whole context to a known directory other than the root."""
    one = step.instruction
    if not isinstance(one, ast.Copy) or one.origin or one.inline or one.parents:
        return False
    to = step.before.path(step.before.expand(one.destination))
    quoted = any(set(" \"'") & set(flag) for flag in one.node.flags)
    return one.sources in ((".",), ("./",)) and to != "/" and "$" not in to and not quoted


def _advise(
    plan: Plan, stage: Stage, number: int, files: ContextFiles, times: StepTimes
) -> Advice | None:
    copy = stage.steps[number]
    one = copy.instruction
    assert isinstance(one, ast.Copy)
    to = copy.before.path(copy.before.expand(one.destination))
    needed: dict[str, None] = {}
    moved: list[Step] = []
    split: _Split | None = None
    last: Step | None = None
    for step in stage.steps[number + 1 :]:
        if isinstance(step.instruction, _WITHOUT_FILES):
            if not _stays_the_same(one, step.instruction):
                break
            continue
        found = _split(plan, stage, step, to, files)
        if found is None:
            break
        needed |= dict.fromkeys(found.files)
        last = step
        if not found.moves:
            split = found
            break
        moved.append(step)
    if last is None or (needed and any(files.below(name) for name in _INSTALLED)):
        return None
    source = plan.source
    start, end = source.block(one.node)
    block = source.text[start:end].rstrip("\r\n")
    lines = _copy_lines(one, list(needed))
    edits = [Edit(start, end, "".join(line + source.newline for line in lines))]
    if split is not None:
        edits += (
            source.insert_before(last.instruction.node, split.line + source.newline + block),
            *split.cut,
        )
    else:
        edits.append(source.insert_after(last.instruction.node, block))
    durations = [times.seconds(step.shown) for step in (*moved, *([last] if split else []))]
    known = [seconds for seconds in durations if seconds is not None]
    saving = Saving("time", "whenever other files change", sum(known) if known else None)
    return Advice(
        Kind.COPY_ORDER, copy.line, copy.text, _reason(list(needed)), saving, tuple(edits)
    )


def _stays_the_same(copy: ast.Copy, between: ast.Instruction) -> bool:
    """Whether the COPY has the same effect after an instruction."""
    if isinstance(between, ast.Workdir):
        return copy.destination.startswith("/")
    if isinstance(between, ast.Env | ast.Arg):
        return "$" not in copy.node.original
    return True


def _split(plan: Plan, stage: Stage, step: Step, to: str, files: ContextFiles) -> _Split | None:
    """The part of a RUN that can run before the COPY to a directory; None if there is none."""
    if not isinstance(step.instruction, ast.Run) or step.script is None or not step.invocations:
        return None
    needed: dict[str, None] = {}
    installs = 0
    prepared = ""
    count = 0
    for found in step.invocations:
        if found.command.nested or found.command.after not in ("", "&&", ";", "\n"):
            break
        if not is_independent(found, step):
            read = install(found, files) if step.before.directory == to else None
            if read is None:
                break
            if read.command:
                prepared = _preparation(plan, stage, step, read)
                needed |= dict.fromkeys(read.files) if prepared else {}
                break
            installs += 1
            needed |= dict.fromkeys(read.files)
        count += 1
    node = step.instruction.node
    if count == len(step.invocations):
        return _Split(tuple(needed), moves=True)
    flags = "".join(f"{flag} " for flag in node.flags)
    if any(set(" \"'") & set(flag) for flag in node.flags) or node.heredocs:
        return None
    if prepared:
        return _Split(tuple(needed), line=f"RUN {flags}{prepared}")
    if not installs:
        return None
    first, last = step.invocations[0].command, step.invocations[count - 1].command
    begin, end = step.script.source(first.start, last.end)
    text = plan.source.text[begin:end]
    return _Split(
        tuple(needed),
        line=f"{node.written} {flags}{text}",
        cut=(plan.source.cut_before(node, step.script, first.start, last.end, last.right),),
    )


def _preparation(plan: Plan, stage: Stage, step: Step, read: Install) -> str:
    """The preparation for a command, unless an earlier command did it."""
    for below in plan.chain(stage):
        for other in below.steps:
            if below is stage and other.line >= step.line:
                break
            if any(is_preparation(found) for found in other.invocations or ()):
                return ""
    return read.command


def _copy_lines(copy: ast.Copy, names: list[str]) -> list[str]:
    """Instructions that copy some files to their paths after the COPY of everything."""
    flags = "".join(f"{f} " for f in copy.node.flags if not f.startswith("--exclude"))
    word = copy.node.written if copy.node.keyword == "COPY" else "COPY"
    to = copy.destination.rstrip("/")
    by_folder: dict[str, list[str]] = {}
    for name in names:
        by_folder.setdefault(posixpath.dirname(name), []).append(name)
    return [
        f"{word} {flags}{' '.join(group)} {f'{to}/{folder}'.rstrip('/')}/"
        for folder, group in by_folder.items()
    ]


def _reason(needed: list[str]) -> str:
    if not needed:
        return (
            "The step behind this COPY does not read the context, but runs again each time that a"
            " file of the context changes."
        )
    return (
        "Dependencies are installed again each time that a file of the context changes. With"
        f" {', '.join(needed)} copied first, they are only installed again if one of these changes."
    )

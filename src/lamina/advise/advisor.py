"""The entry: all items of advice for a Dockerfile, and the files with the advice applied."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.advise.advice import Kind, apply_edits, compatible
from lamina.advise.cache_mounts import CacheMounts
from lamina.advise.context_size import context_size
from lamina.advise.copy_order import copy_order
from lamina.advise.deleted_files import deleted_files
from lamina.advise.late_packages import late_packages
from lamina.advise.secret_names import secret_names
from lamina.advise.source import SourceText
from lamina.advise.stages import read_plan
from lamina.advise.times import NoRecords
from lamina.base.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection

    from lamina.advise.advice import Advice
    from lamina.advise.context_files import ContextFiles
    from lamina.advise.times import StepTimes

_PASSES = 8


class Request(NamedTuple):
    """What to advise on. `target` is the stage to build, "" for the last."""

    filename: str
    files: ContextFiles
    target: str = ""
    build_args: tuple[tuple[str, str], ...] = ()
    times: StepTimes = NoRecords()
    kinds: Collection[Kind] = tuple(Kind)


def advise(text: str, request: Request) -> list[Advice]:
    """All items for a Dockerfile, by line. Raises InvalidInput, located.

    Each item's edits are for the text as it is. Some items may overlap: see `improve`. Those for
    the Dockerfile assume that the ignore file is changed.
    """
    source = SourceText(text, request.filename)
    plan = read_plan(source, dict(request.build_args), request.target)
    files = request.files
    items: list[Advice] = []
    if Kind.CONTEXT in request.kinds and (lines := list(context_size(plan, files))):
        items += lines
        edits = [edit for item in lines for edit in item.edits]
        files = files.with_ignore_text(apply_edits(files.ignore_text, edits))
    items += CacheMounts(plan, files, request.times).advise()
    items += copy_order(plan, files, request.times)
    items += late_packages(plan, request.times)
    items += secret_names(plan)
    items += deleted_files(plan)
    chosen = [item for item in items if item.kind in request.kinds]
    return sorted(chosen, key=lambda item: item.line)


class Improved(NamedTuple):
    """The texts of both files with the advice applied, and how many items that were."""

    dockerfile: str
    ignore_file: str
    items: int


def improve(text: str, request: Request) -> Improved:
    """Apply all advice, until there is none left. Raises InvalidInput, located."""
    files = request.files
    count = 0
    for _ in range(_PASSES):
        items = compatible(advise(text, request._replace(files=files)))
        if not items:
            break
        count += len(items)
        text = apply_edits(text, [e for i in items if not i.ignore_file for e in i.edits])
        ignore = [e for i in items if i.ignore_file for e in i.edits]
        if ignore:
            files = files.with_ignore_text(apply_edits(files.ignore_text, ignore))
    return Improved(text, files.ignore_text, count)

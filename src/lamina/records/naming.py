"""Resolves names of records of builds, and of steps.

A record is named by `^` (the latest), `^1` (the one before that), …, by its ID, or by the start of
its ID if no other record has it. A step is named by its number or by a part of its text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lamina.records.rows import RecordRow
    from lamina.records.steps import Step

LATEST = "^"
_SHOWN = 3
_HINT = "`lamina history ls` lists the builds"


def find_record(rows: Sequence[RecordRow], name: str) -> RecordRow:
    """The record with a name; "" is the latest.

    Args:
        rows: all records, the newest first.

    Raises NotFound, InvalidInput.
    """
    if not rows:
        raise NotFound("no build is recorded", hint="`lamina build` records every build")
    if name in ("", LATEST):
        return rows[0]
    if name.startswith(LATEST):
        return _counted(rows, name)
    for row in rows:
        if row.ref == name:
            return row
    found = [row for row in rows if row.ref.startswith(name)]
    if not found:
        raise NotFound(f'no record of a build "{name}"', hint=_HINT)
    if len(found) > 1:
        shown = ", ".join(row.ref for row in found[:_SHOWN])
        more = ", …" if len(found) > _SHOWN else ""
        raise InvalidInput(
            f'the IDs of {len(found)} builds begin with "{name}": {shown}{more}',
            hint="add characters until only one is left",
        )
    return found[0]


def in_order(steps: Sequence[Step]) -> tuple[Step, ...]:
    """Steps in the order of their numbers: as they started; those that never did come last."""
    return tuple(sorted(steps, key=lambda step: (step.started is None, step.started or 0.0)))


def find_steps(steps: Sequence[Step], name: str) -> tuple[tuple[int, Step], ...]:
    """The steps with a name, with their numbers, which count from 1.

    Args:
        steps: all steps in the order of their numbers (`in_order`).
        name: a number (`3`, `#3`), or a part of steps' names.

    Raises NotFound.
    """
    number = name.removeprefix("#")
    if number.isascii() and number.isdigit():
        if not 1 <= int(number) <= len(steps):
            raise NotFound(
                f"the build has no step {number}: it has {len(steps)}",
                hint="`lamina history inspect` lists the steps",
            )
        return ((int(number), steps[int(number) - 1]),)
    found = [(n, step) for n, step in enumerate(steps, 1) if name in step.name]
    if not found:
        raise NotFound(
            f'no step of the build contains "{name}"',
            hint="`lamina history inspect` lists the steps",
        )
    return tuple(found)


def _counted(rows: Sequence[RecordRow], name: str) -> RecordRow:
    count = name.removeprefix(LATEST)
    if not (count.isascii() and count.isdigit()):
        raise InvalidInput(
            f'invalid name of a record "{name}"',
            hint="use ^ for the latest build, ^1 for the one before it",
        )
    if int(count) >= len(rows):
        raise NotFound(f"no build {name}: {len(rows)} are recorded", hint=_HINT)
    return rows[int(count)]

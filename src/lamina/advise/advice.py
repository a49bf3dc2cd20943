"""Items of advice, their edits, and how edits are applied and shown as a patch."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from lamina.base.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class Kind(StrEnum):
    """The topic of an item of advice; the values are those of `--kind`."""

    CACHE_MOUNT = "cache-mount"
    COPY_ORDER = "copy-order"
    SECRET = "secret"
    CONTEXT = "context"
    DELETED_FILES = "deleted-files"
    PARALLEL = "parallel"


class Edit(NamedTuple):
    """Replace the characters `start` to `end` (exclusive) of a text. Equal for an insertion."""

    start: int
    end: int
    text: str


class Saving(NamedTuple):
    """What an item is expected to save.

    `what` is time or space, or "" for neither; `when` says which builds save it. `seconds` come
    from the records of builds, `size` (bytes) from the files; None if unknown.
    """

    what: str
    when: str
    seconds: float | None = None
    size: int | None = None


class Advice(NamedTuple):
    """One item. `edits` are of one file: the Dockerfile, or the ignore file if `ignore_file`.

    `line` (1-based) and `subject` are the instruction that it is about; 0 and the name of the
    files for the context. `reason` is one or more sentences.
    """

    kind: Kind
    line: int
    subject: str
    reason: str
    saving: Saving
    edits: tuple[Edit, ...]
    ignore_file: bool = False


def apply_edits(text: str, edits: Iterable[Edit]) -> str:
    """The text with all edits made.

    They must not overlap, but the same removal may be there twice. Insertions at one offset keep
    their order.
    """
    out: list[str] = []
    at = 0
    done: Edit | None = None
    for edit in sorted(edits, key=lambda edit: (edit.start, edit.end)):
        if edit == done and edit.start < edit.end:
            continue
        done = edit
        assert edit.start >= at, "edits overlap"
        out += (text[at : edit.start], edit.text)
        at = edit.end
    return "".join((*out, text[at:]))


def compatible(items: Sequence[Advice]) -> list[Advice]:
    """The items whose edits do not overlap with those of an item before.

    Lines of the ignore file never overlap.
    """
    chosen: list[Advice] = []
    taken: list[Edit] = []
    for item in items:
        if item.ignore_file:
            chosen.append(item)
        elif not any(_overlap(edit, other) for edit in item.edits for other in taken):
            chosen.append(item)
            taken += item.edits
    return chosen


def _overlap(one: Edit, other: Edit) -> bool:
    if one == other and one.start < one.end:
        return False  # both remove the same
    if one.start == one.end or other.start == other.end:
        # Text that is inserted directly after a change may belong to the replaced text.
        return one.start <= other.end and other.start <= one.end
    return one.start < other.end and other.start < one.end


def patch(before: str, after: str, name: str) -> str:
    """A unified diff for `patch -p1` or `git apply`; "" if nothing changes.

    A file that is empty before is shown as a new one.
    """
    import difflib

    old = f"a/{name}" if before else "/dev/null"
    lines = difflib.unified_diff(_lines(before), _lines(after), old, f"b/{name}")
    return "".join(
        line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines
    )


def _lines(text: str) -> list[str]:
    """Lines with their ends; only a line feed ends one."""
    return [line + "\n" for line in text.split("\n")[:-1]] + [
        line for line in text.split("\n")[-1:] if line
    ]

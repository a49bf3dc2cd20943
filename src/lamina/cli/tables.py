"""Tables: aligned columns for people, one JSON object per line for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from lamina.cli.flags import Parsed

GAP = 3
"""Spaces between columns."""


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Columns as wide as their widest cell. The last one is not padded."""
    lines = [tuple(header), *map(tuple, rows)]
    widths = [max(map(len, column)) + GAP for column in zip(*lines, strict=True)]
    pattern = "".join(f"%-{width}s" for width in widths)
    return "\n".join((pattern % line).rstrip() for line in lines)


def tab_separated(lines: Iterable[str]) -> str:
    """Lines whose cells end with tabs. Neighbouring lines have columns of the same width, with one
    space after the widest cell (Go's `tabwriter`)."""
    cells = [line.split("\t") for line in lines]
    for column in range(max(map(len, cells), default=1) - 1):
        start = 0
        while start < len(cells):
            end = start
            while end < len(cells) and len(cells[end]) > column + 1:
                end += 1
            width = max((len(line[column]) for line in cells[start:end]), default=0) + 1
            for line in cells[start:end]:
                line[column] = line[column].ljust(width)
            start = max(end, start + 1)
    return "\n".join("".join(line) for line in cells)


def is_template(form: str) -> bool:
    """Whether a value of `--format` is a template (`format_template`), not the name of a format."""
    return "{{" in form


def chosen_format(parsed: Parsed, *names: str) -> str:
    """The value of `--format`: a template, or one of `names`, by default the first.

    Raises InvalidInput.
    """
    form = parsed.text("format", names[0])
    if form not in names and not is_template(form):
        raise InvalidInput(
            f'unknown format "{form}"',
            hint=f"use {', '.join(names)}, or a Go template such as '{{{{json .}}}}'",
        )
    return form


def print_text(text: str) -> None:
    """Print lines, if there are any. Names may be no UTF-8."""
    if text:
        print(text.encode("utf-8", "surrogateescape").decode("utf-8", "replace"))


def json_lines(documents: Iterable[Mapping[str, object]]) -> str:
    """One object per line."""
    import json

    return "\n".join(json.dumps(document, ensure_ascii=False) for document in documents)

"""Tables: aligned columns for people, one JSON object per line for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

GAP = 3
"""Spaces between columns."""


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Columns as wide as their widest cell. The last one is not padded."""
    lines = [tuple(header), *map(tuple, rows)]
    widths = [max(map(len, column)) + GAP for column in zip(*lines, strict=True)]
    pattern = "".join(f"%-{width}s" for width in widths)
    return "\n".join((pattern % line).rstrip() for line in lines)


def json_lines(documents: Iterable[Mapping[str, object]]) -> str:
    """One object per line."""
    import json

    return "\n".join(json.dumps(document, ensure_ascii=False) for document in documents)

"""`--format` with a Go template, as docker's commands have it (docker/cli, `formatter`)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from lamina.base.go_template import GoTemplate, Struct
from lamina.base.go_template.functions import DOCKER

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lamina.base.go_template.functions import TemplateFunction

_TABLE = "table"
_LEAST, _GAP = 10, 3  # the least width of a column, and the least space after a cell


class Row(Struct):
    """The fields of a row as text. `json` prints its document in their place."""

    def __init__(self, fields: Mapping[str, str], document: Mapping[str, object]) -> None:
        super().__init__(fields)
        self.document = document


def format_rows(text: str, titles: Mapping[str, str], rows: Iterable[Row]) -> str:
    r"""Print each row on its own line with a template, which may begin with `table `.

    `\t` and `\n` are a tab and a new line. In a table, tabs separate columns.

    Args:
        titles: the titles of all fields, for the first line of a table.

    Raises TemplateError.
    """
    in_table = text.startswith(_TABLE)
    text = text.removeprefix(_TABLE).strip(" ") if in_table else text
    text = text.replace("\\t", "\t").replace("\\n", "\n")
    template = GoTemplate(text, {"json": _json})
    lines = [template.render(row) for row in rows]
    if not in_table:
        return "\n".join(lines)
    header = GoTemplate(text, _of_titles()).render(Struct(titles))
    return _aligned([header, *lines])


def _json(value: Any) -> str:
    if isinstance(value, Row):
        return json.dumps(value.document, ensure_ascii=False)
    shown: str = DOCKER["json"](value)
    return shown


def _of_titles() -> dict[str, TemplateFunction]:
    """Functions for the first line: those that would change a title return it as it is."""
    kept: TemplateFunction = lambda title, *_: title  # noqa: E731 - it is a value of a table
    return dict.fromkeys(("json", "split", "join", "truncate"), kept)


def _aligned(lines: list[str]) -> str:
    """Columns for the cells that end with a tab."""
    cells = [line.split("\t") for text in lines for line in text.split("\n")]
    count = max(len(line) for line in cells) - 1
    widths = [
        max(_LEAST, *(len(line[n]) + _GAP for line in cells if n < len(line) - 1))
        for n in range(count)
    ]
    return "\n".join(
        "".join(f"{cell:<{width}}" for cell, width in zip(line[:-1], widths, strict=False))
        + line[-1]
        for line in cells
    )

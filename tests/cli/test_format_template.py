from __future__ import annotations

import pytest

from lamina.base.go_template import TemplateError
from lamina.cli.format_template import Row, format_rows

TITLES = {"ID": "IMAGE ID", "Name": "NAME", "Tags": "TAGS"}
ROWS = [
    Row({"ID": "1", "Name": "a", "Tags": "x,y"}, {"ID": 1}),
    Row({"ID": "2", "Name": "a long name here", "Tags": ""}, {"ID": 2, "More": None}),
]


def test_rows() -> None:
    assert format_rows("{{.ID}}: {{.Name}}", TITLES, ROWS) == "1: a\n2: a long name here"
    assert format_rows("{{.ID}}", TITLES, []) == ""


def test_documents() -> None:
    assert format_rows("{{json .}}", TITLES, ROWS) == '{"ID": 1}\n{"ID": 2, "More": null}'
    assert format_rows("{{json .Name}}", TITLES, ROWS[:1]) == '"a"'


def test_a_table_as_docker_aligns_it() -> None:
    """Columns are at least ten wide, and the last one is not padded."""
    assert format_rows(r"table {{.ID}}\t{{upper .Name}}\t{{.Tags}}", TITLES, ROWS).split("\n") == [
        "IMAGE ID   NAME               TAGS",
        "1          A                  x,y",
        "2          A LONG NAME HERE   ",
    ]


def test_titles_are_not_split_or_cut() -> None:
    text = "table {{truncate .Name 1}} {{join (split .Tags `,`) `;`}}"
    assert format_rows(text, TITLES, ROWS[:1]) == "NAME TAGS\na x;y"


def test_a_field_that_rows_do_not_have() -> None:
    with pytest.raises(TemplateError, match="the fields are ID, Name, Tags"):
        format_rows("{{.Nope}}", TITLES, ROWS)

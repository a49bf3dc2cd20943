"""The file that `--prove` edits."""

from __future__ import annotations

import pytest

from lamina.advise.context_files import ContextFiles
from lamina.advise.edit_file import choose_file, comment_for
from lamina.advise.source import SourceText
from lamina.advise.stages import read_plan
from lamina.base.errors import InvalidInput


def chosen(text: str, *names: str, target: str = "") -> str:
    plan = read_plan(SourceText(text, "Dockerfile"), {}, target)
    return choose_file(plan, ContextFiles(dict.fromkeys(names, 1)))


def test_sources_come_before_texts_and_outer_files_before_inner_ones() -> None:
    names = ("README.md", "a/b/c.go", "z.go", "y.py", "a.css", "requirements.txt")
    assert chosen("FROM x\nCOPY . .\n", *names) == "z.go"
    assert chosen("FROM x\nCOPY a .\n", *names) == "a/b/c.go"
    assert chosen("FROM x\nCOPY *.py .\n", *names) == "y.py"


def test_only_stages_of_the_target_count() -> None:
    text = "FROM x AS a\nCOPY a.go /\nFROM y AS b\nCOPY b.go /\nFROM z\nCOPY --from=b /c /c\n"
    assert chosen(text, "a.go", "b.go") == "b.go"
    assert chosen(text, "a.go", "b.go", target="a") == "a.go"


def test_there_may_be_none() -> None:
    with pytest.raises(InvalidInput, match="no source file") as caught:
        chosen("FROM x\nCOPY a.go /\n", "b.go", "requirements.txt")
    assert "--edit" in caught.value.hint


def test_comments() -> None:
    assert comment_for("a/b.go").startswith("// ")
    assert comment_for("a.html").endswith("-->")
    assert comment_for("Makefile") == ""

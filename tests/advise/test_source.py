"""Positions of instructions in the text of a Dockerfile."""

from __future__ import annotations

import json
from pathlib import Path

from lamina.advise.advice import Advice, Edit, Kind, Saving, apply_edits, compatible, patch
from lamina.advise.source import SourceText
from lamina.base.errors import LaminaError
from tests.corpus.corpus_case import read_case


def test_headers_and_heredocs_of_the_corpus_are_found() -> None:
    folder = Path(__file__).parents[1] / "corpus" / "cases"
    found = 0
    for path in sorted(folder.rglob("*.case")):
        text = read_case(path.read_text()).sections.get("Dockerfile", "")
        text = json.loads(text) if text.startswith('"') else text + "\n"
        try:
            source = SourceText(text, "Dockerfile")
        except LaminaError:
            continue
        for node in source.document.nodes:
            header = source.header(node)
            assert header is not None
            assert [text[at] for at in header.offsets[:-1]] == list(header.text)
            rest = source.rest(node)
            assert (rest.text if rest else "") == node.rest
            body = source.heredoc(node)
            assert (body is not None) == bool(node.heredocs)
            found += 1
    assert found > 1500


def test_a_byte_order_mark_and_windows_line_ends() -> None:
    source = SourceText("\ufeffFROM x\r\nRUN a \\\r\n  # note\r\n  b\r\n", "Dockerfile")
    first, second = source.document.nodes
    edit = source.insert_before(first, "# top")
    assert apply_edits(source.text, (edit,)).startswith("\ufeff# top\r\nFROM x\r\n")
    flags = source.add_flags(second, ["--network=none"])
    assert flags is not None
    after = apply_edits(source.text, (flags,))
    assert after.endswith("RUN --network=none \\\r\n  a \\\r\n  # note\r\n  b\r\n")


def test_directives_are_no_comments_of_an_instruction() -> None:
    source = SourceText("# syntax=x\n# note\nFROM x\n", "Dockerfile")
    (node,) = source.document.nodes
    edit = source.insert_before(node, "ARG A")
    assert apply_edits(source.text, (edit,)) == "# syntax=x\nARG A\n# note\nFROM x\n"


def test_long_flags_get_lines() -> None:
    source = SourceText("FROM x\nRUN a\n", "Dockerfile")
    edit = source.add_flags(
        source.document.nodes[1], [f"--mount={'x' * 60}", f"--mount={'y' * 60}"]
    )
    assert edit is not None
    assert edit.text.count("\\\n    ") == 2


def item(*edits: Edit, ignore_file: bool = False) -> Advice:
    return Advice(Kind.SECRET, 1, "", "", Saving("", ""), edits, ignore_file)


def test_items_that_overlap() -> None:
    one, same = item(Edit(2, 5, "a")), item(Edit(2, 5, "a"))
    assert compatible([one, same]) == [one, same]
    for other in (
        Edit(4, 6, ""),
        Edit(2, 5, "b"),
        Edit(5, 5, "x"),
        Edit(3, 3, "x"),
        Edit(0, 9, ""),
    ):
        assert compatible([one, item(other)]) == [one]
    for other in (Edit(5, 6, ""), Edit(0, 2, ""), Edit(6, 6, "x")):
        assert compatible([one, item(other)]) == [one, item(other)]
    assert compatible([item(Edit(3, 3, "a")), item(Edit(3, 3, "b"))]) == [item(Edit(3, 3, "a"))]
    line = item(Edit(2, 2, "x"), ignore_file=True)
    assert compatible([one, line]) == [one, line]


def test_patches() -> None:
    assert patch("", "a\n", "f") == "--- /dev/null\n+++ b/f\n@@ -0,0 +1 @@\n+a\n"
    assert patch("a\r\nb", "a\r\nc", "f").endswith(
        " a\r\n-b\n\\ No newline at end of file\n+c\n\\ No newline at end of file\n"
    )
    assert patch("a\n", "a\n", "f") == ""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.base.errors import InvalidInput, LaminaError
from lamina.dockerfile.lexer import Document, Node, parse_document
from lamina.dockerfile.parse import parse_instruction


def parse(text: str) -> Document:
    return parse_document(text, "Dockerfile")


def only(text: str) -> Node:
    (node,) = parse(text).nodes
    return node


def test_keyword_flags_and_rest() -> None:
    node = only("  copy --from=a --chown='x y':z\t--link  src   dst  \n")
    assert node.keyword == "COPY"
    assert node.flags == ("--from=a", "--chown=x y:z", "--link")
    assert node.rest == "src   dst"


def test_two_dashes_end_the_flags() -> None:
    node = only("COPY --link -- --odd /x\n")
    assert (node.flags, node.rest) == (("--link",), "--odd /x")


def test_continuations_comments_and_blank_lines() -> None:
    document = parse("# top\nFROM x\n\nRUN a && \\\n  # in between\n\n  b \\\t\n c\nRUN d\n")
    run = document.nodes[1]
    assert run.rest == "a &&   b  c"
    assert (run.location.start, run.location.end) == (4, 8)
    assert [place.start for place in document.blank_continuations] == [8]
    assert document.nodes[0].comments == ("top",)


def test_a_doubled_escape_does_not_continue() -> None:
    assert [n.rest for n in parse("RUN a \\\\\nRUN b\n").nodes] == ["a \\\\", "b"]


def test_a_continuation_at_the_end_of_the_file() -> None:
    assert only("RUN a \\").rest == "a"


def test_windows_line_ends_and_byte_order_mark() -> None:
    document = parse("\ufeffFROM x\r\nRUN a \\\r\n  b\r\n")
    assert [n.rest for n in document.nodes] == ["x", "a   b"]


def test_directives() -> None:
    document = parse("# syntax = docker/dockerfile:1\n#escape=`\n# check=skip=all\nRUN a `\n b\n")
    assert document.directives == (
        ("syntax", "docker/dockerfile:1"),
        ("escape", "`"),
        ("check", "skip=all"),
    )
    assert document.escape == "`"
    assert document.nodes[0].rest == "a  b"


def test_directives_end_at_the_first_other_line() -> None:
    assert parse("# note\n# escape=`\nRUN x\n").escape == "\\"
    assert parse("\n# escape=`\nRUN x\n").escape == "\\"


@pytest.mark.parametrize(
    ("text", "part", "line"),
    [
        ("# escape=x\nFROM a\n", "invalid escape token", 1),
        ("# escape=`\n# escape=`\nFROM a\n", "only one escape", 2),
        ("", "no instructions", 1),
        ("# nothing\n\n", "no instructions", 1),
        ("FROM a\nRUN <<EOF\nx\n", "unterminated heredoc", 2),
    ],
)
def test_malformed(text: str, part: str, line: int) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse(text)
    assert part in caught.value.reason
    assert caught.value.location is not None
    assert caught.value.location.start == line


def test_a_heredoc() -> None:
    node = only("RUN <<EOF\n  a\r\n\n# no comment\nEOF\n")
    (heredoc,) = node.heredocs
    assert heredoc == ("EOF", "  a\r\n\n# no comment\n", True, False)
    assert node.rest == "<<EOF"
    assert (node.location.start, node.location.end) == (1, 5)


def test_several_heredocs_quoted_and_with_tabs() -> None:
    node = only("COPY <<'a' <<-\"b.txt\" 3<<c /x/\none\na\n\ttwo\n\tb.txt\nc\n")
    assert [(h.name, h.content, h.expand, h.chomp) for h in node.heredocs] == [
        ("a", "one\n", False, False),
        ("b.txt", "\ttwo\n", False, True),
        ("c", "", True, False),
    ]


@pytest.mark.parametrize(
    "line",
    [
        'RUN echo "<<EOF"',
        "RUN echo '<<EOF'",
        "RUN cat <<<word",
        'RUN ["cat", "<<EOF"]',
        "ENV a=<<EOF",
        "RUN echo $((1<<2<3))",
    ],
)
def test_lines_without_heredocs(line: str) -> None:
    assert only(line + "\n").heredocs == ()


def test_on_build_takes_its_instruction_s_heredoc() -> None:
    assert only("ONBUILD RUN <<E\nx\nE\n").heredocs[0].content == "x\n"


@given(st.text(alphabet="RUNCOPY \\`#<E-'\"\n\r\t=[]", max_size=80))
def test_anything_is_read_or_refused_with_a_place(text: str) -> None:
    try:
        parse(text)
    except LaminaError as error:
        assert error.location is not None


def test_lines_have_a_limit_in_bytes() -> None:
    line = "ENV A=" + "ä" * 32764
    assert len(parse_document(f"FROM x\n{line}\\\n{line}a\n", "Dockerfile").nodes) == 2
    with pytest.raises(InvalidInput, match="65535") as caught:
        parse_document(f"FROM x\n{line}aa\n", "Dockerfile")
    assert caught.value.location is not None
    assert caught.value.location.start == 2


@pytest.mark.parametrize(
    "text",
    [
        "# syntax=x" + " " * 200_000 + "y\x0bz",
        "# syntax=" + " " * 200_000,
        "# " + "a" * 200_000,
        "FROM a\nHEALTHCHECK --interval=" + "1" * 200_000 + " CMD x",
        "FROM a\nRUN " + "1" * 200_000 + "<<E",
        "FROM a\nRUN <<" + " " * 200_000 + "<",
        "FROM a\nRUN " + "\\ " * 200_000 + "x",
    ],
)
def test_long_lines(text: str) -> None:
    """These would take minutes in quadratic time."""
    found = []
    with suppress(LaminaError):
        found = [parse_instruction(node, "\\") for node in parse_document(text, "Dockerfile").nodes]
    assert len(found) in (0, 2)

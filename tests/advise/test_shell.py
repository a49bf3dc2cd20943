"""Command lines: their programs, and the positions of words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.advise.programs import invocation
from lamina.advise.shell import parse_script


def words(text: str) -> list[list[str]]:
    commands = parse_script(text)
    assert commands is not None
    return [[word.value for word in command.words] for command in commands]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a b", [["a", "b"]]),
        ("a && b || c; d | e & f", [["a"], ["b"], ["c"], ["d"], ["e"], ["f"]]),
        ("a 'b c' \"d $e\" f\\ g", [["a", "b c", "d $e", "f g"]]),
        (
            'a "b\\"c" "$(d "e f")" `g h` ${i:-j k}',
            [["a", 'b"c', '$(d "e f")', "`g h`", "${i:-j k}"]],
        ),
        ("a > b 2>&1 >>c < d", [["a"]]),
        ("a # b && c", [["a"]]),
        ("a#b", [["a#b"]]),
        ("a\nb\n\n# c\nd \\\n e", [["a"], ["b"], ["d", "e"]]),
        ("if a; then b; else c; fi", [["a"], ["b"], ["c"]]),
        ("for x in 1 2; do a; done && b", [["a"], ["b"]]),
        ("while ! a; do b; done", [["a"], ["b"]]),
        ("(a && b) || { c; }", [["a"], ["b"], ["c"]]),
        ("f() { a; }; f", [["f"], ["a"], ["f"]]),
        ("", []),
    ],
)
def test_commands(text: str, expected: list[list[str]]) -> None:
    assert words(text) == expected


@pytest.mark.parametrize(
    "text",
    ["a 'b", 'a "b', "a $(b", "a `b", "a ${b", "cat <<EOF\nx\nEOF", "case x in a) b;; esac", "a )"],
)
def test_what_is_not_understood(text: str) -> None:
    assert parse_script(text) is None


def test_positions_and_surroundings() -> None:
    text = "a x && if b; then c; fi; d"
    commands = parse_script(text)
    assert commands is not None
    assert [text[c.start : c.end] for c in commands] == ["a x", "b", "c", "d"]
    assert [c.nested for c in commands] == [False, True, True, False]
    first, *_, last = commands
    assert (first.before, first.after, text[first.right :][:2]) == ("", "&&", "if")
    assert (last.before, last.after, text[: last.left][-2:]) == (";", "", "fi")


@given(st.text(alphabet="ab \t\n\"'\\$(){}`|&;<>#=", max_size=40))
def test_every_word_is_where_it_says(text: str) -> None:
    for command in parse_script(text) or ():
        assert command.start < command.end <= len(text)
        assert command.left <= command.start
        assert command.end <= command.right
        for word in (*command.words, *command.targets):
            assert text[word.start : word.end] == word.text


@pytest.mark.parametrize(
    ("text", "program", "arguments"),
    [
        ("/usr/bin/apt-get -y update", "apt-get", ["-y", "update"]),
        ("A=1 B= sudo -E env C=2 npm ci", "npm", ["ci"]),
        ("python3 -m pip install x", "pip", ["install", "x"]),
        ("python3.12 -u -m pip install", "pip", ["install"]),
        ("python a.py -m pip", "python", ["a.py", "-m", "pip"]),
        ("pip3.11 install x", "pip", ["install", "x"]),
        ("time ./mvnw package", "mvnw", ["package"]),
    ],
)
def test_programs(text: str, program: str, arguments: list[str]) -> None:
    (command,) = parse_script(text) or ()
    found = invocation(command)
    assert found is not None
    assert (found.program, [word.value for word in found.arguments]) == (program, arguments)


def test_assignments_alone_run_nothing() -> None:
    (command,) = parse_script("A=1 B=2") or ()
    assert invocation(command) is None


def test_subcommands() -> None:
    (command,) = parse_script("apt-get -o a=b --yes install -t x y") or ()
    found = invocation(command)
    assert found is not None
    assert found.subcommand() == "a=b"
    assert found.subcommand(frozenset(("-o",))) == "install"
    assert found.has_flag("--yes", "--no")
    assert not found.has_flag("-n")

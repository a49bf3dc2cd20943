from __future__ import annotations

import pytest

from lamina.base.errors import InvalidInput
from lamina.cli.commands import COMMANDS
from lamina.cli.flags import HelpWanted, Parsed, parse

BUILD = COMMANDS["build"]


def test_every_spelling_of_a_flag() -> None:
    for words in (["-t", "a"], ["-ta"], ["-t=a"], ["--tag", "a"], ["--tag=a"]):
        parsed = parse(BUILD, [*words, "."])
        assert parsed.all("tag") == ["a"]
        assert parsed.arguments == ["."]


def test_flags_and_arguments_mix_and_repeat() -> None:
    parsed = parse(BUILD, ["-t", "a", ".", "--tag=b", "-q", "--build-arg", "X=1=2"])
    assert parsed.all("tag") == ["a", "b"]
    assert parsed.all("build-arg") == ["X=1=2"]
    assert parsed.switch("quiet")
    assert not parsed.switch("pull")
    assert parsed.text("target", "none") == "none"
    assert not parsed.given("target")


def test_switches() -> None:
    assert not parse(BUILD, ["--pull", "--pull=false", "."]).switch("pull")
    assert parse(BUILD, ["--pull=1", "."]).switch("pull")
    grouped = parse(COMMANDS["run"], ["-it", "image"])
    assert grouped.switch("interactive")
    assert grouped.switch("tty")
    joined = parse(BUILD, ["-qt", "name", "."])
    assert joined.switch("quiet")
    assert joined.text("tag") == "name"


def test_a_dash_is_an_argument_and_two_end_the_flags() -> None:
    assert parse(BUILD, ["-"]).arguments == ["-"]
    assert parse(BUILD, ["--", "--pull"]).arguments == ["--pull"]
    assert parse(BUILD, ["-f", "-", "."]).text("file") == "-"
    assert parse(BUILD, ["-f-", "."]).text("file") == "-"


def test_run_leaves_the_command_alone() -> None:
    parsed = parse(COMMANDS["run"], ["-e", "A=1", "image", "sh", "-c", "--", "--help"])
    assert parsed.arguments == ["image", "sh", "-c", "--", "--help"]
    assert parsed.all("env") == ["A=1"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--tga", "x", "."], 'unknown flag: --tga, did you mean "--tag"?'),
        (["--zzzzzz", "."], "unknown flag: --zzzzzz$"),
        (["-x", "."], 'unknown shorthand flag: "x" in -x'),
        (["-qx", "."], 'unknown shorthand flag: "x" in -qx'),
        (["--tag"], "flag needs an argument: --tag"),
        ([".", "-t"], "flag needs an argument: -t"),
        (["--pull=maybe", "."], 'invalid argument "maybe" for --pull: not a boolean'),
        (
            ["--progress=plian", "."],
            'invalid argument "plian" for --progress, did you mean "plain"',
        ),
        ([], "takes exactly 1 argument, not 0"),
        ([".", "two"], "takes exactly 1 argument, not 2"),
    ],
)
def test_mistakes(words: list[str], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        parse(BUILD, words)


def test_help_wins() -> None:
    for words in (["--help"], ["-h"], ["-q", "--help", "--nonsense"]):
        with pytest.raises(HelpWanted):
            parse(BUILD, words)


def test_the_table_is_sound() -> None:
    for command in COMMANDS.values():
        names = [flag.name for flag in command.flags]
        shorts = [flag.short for flag in command.flags if flag.short]
        assert len(set(names)) == len(names)
        assert len(set(shorts)) == len(shorts)
        assert "h" not in shorts
        for flag in command.flags:
            assert not (flag.choices and not flag.value)
            assert not flag.help.endswith(".")


def test_parsing_has_no_state() -> None:
    assert Parsed(BUILD).all("tag") == []

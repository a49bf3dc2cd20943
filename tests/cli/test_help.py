"""Help texts and the width that they are wrapped to."""

from __future__ import annotations

import pytest

from lamina.cli.commands import COMMANDS, GROUPS
from lamina.cli.help import command_help, group_help, overview


@pytest.mark.parametrize("width", (60, 80, 120))
@pytest.mark.parametrize("name", COMMANDS)
def test_texts_are_wrapped_between_words(name: str, width: int) -> None:
    command = COMMANDS[name]
    text = command_help(command, width)
    fixed = {f"  {example}" for example in command.examples} | {text.split("\n")[0]}
    for line in text.split("\n"):
        assert len(line) <= width or line in fixed or len(line.split()) == 1, line
    words = " ".join(text.split())
    for flag in command.flags:
        assert f"--{flag.name}" in words
        assert flag.hidden or " ".join(flag.help.split()) in words


def test_texts_begin_in_one_column_where_there_is_room() -> None:
    lines = command_help(COMMANDS["login"], 60).split("\n")
    options = lines[lines.index("Options:") + 1 :]
    assert options[:4] == [
        "  -D, --debug           Show a traceback when a command",
        "                        fails",
        "      --insecure        Allow plain HTTP and untrusted",
        "                        certificates",
    ]
    assert command_help(COMMANDS["login"], 45).split("\n")[8:11] == [
        "  -D, --debug",
        "        Show a traceback when a command fails",
        "      --insecure",
    ]


def test_flags_without_effect_are_only_named() -> None:
    text = command_help(COMMANDS["daemon"], 10_000)
    last = text.split("\n")[-1]
    assert last.startswith("Accepted for compatibility with buildkitd, without effect: ")
    assert "--containerd-worker-gc," in last
    assert text.count("--containerd-worker-gc,") == 1


def test_the_overview_lists_every_command() -> None:
    lines = overview(COMMANDS, 80).split("\n")
    first_words = {name.partition(" ")[0] for name in COMMANDS}
    assert {line.split()[0] for line in lines if line.startswith("  ")} >= first_words
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize("name", GROUPS)
def test_the_help_of_a_group_lists_its_commands(name: str) -> None:
    commands = COMMANDS.group(name)
    assert commands
    lines = group_help(name, commands, 80).split("\n")
    shown = {line.split()[0] for line in lines if line.startswith("  ")}
    assert shown >= {command.name.split()[1] for command in commands}

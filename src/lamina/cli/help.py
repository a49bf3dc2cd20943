"""Help texts from the table of flags, wrapped to the width of the terminal."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from lamina.cli.commands import GROUPS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lamina.cli.commands import CommandTable
    from lamina.cli.flags import Command, Flag

_WIDTH = 80
"""The number of columns without a terminal."""
_WIDEST = 120
_NARROWEST_TEXT = 30


def overview(commands: CommandTable, width: int = 0) -> str:
    """The text of `lamina --help`. `width` is in columns, 0 for the terminal's."""
    width = width or terminal_width()
    summaries: dict[str, str] = {}
    for name in commands:
        group = name.partition(" ")[0]
        if group in GROUPS:
            summaries[group] = GROUPS[group]
        else:
            summaries[name] = commands[name].summary
    return "\n".join(
        [
            "Usage: lamina [--root DIR | --builder NAME] COMMAND …",
            "",
            "Builds container images.",
            "",
            *_listed("Commands:", summaries, width),
            "",
            "Run `lamina COMMAND --help` for help on a command.",
        ]
    )


def group_help(name: str, commands: Iterable[Command], width: int = 0) -> str:
    """The text of `lamina GROUP --help`. `width` is in columns, 0 for the terminal's."""
    width = width or terminal_width()
    summaries = {command.name.removeprefix(f"{name} "): command.summary for command in commands}
    return "\n".join(
        [
            f"Usage: lamina {name} COMMAND …",
            "",
            *wrapped(GROUPS[name], width),
            "",
            *_listed("Commands:", summaries, width),
            "",
            f"Run `lamina {name} COMMAND --help` for help on a command.",
        ]
    )


def _listed(title: str, summaries: Mapping[str, str], width: int) -> list[str]:
    column = max(map(len, summaries)) + 4
    lines = [title]
    for name, summary in summaries.items():
        lines += _entry(f"  {name}", summary, column, width)
    return lines


def command_help(command: Command, width: int = 0) -> str:
    """The text of `lamina COMMAND --help`. `width` is in columns, 0 for the terminal's."""
    width = width or terminal_width()
    usage = f"Usage: lamina {command.name} {command.usage}".rstrip()
    lines = [usage, "", *wrapped(command.summary, width)]
    if command.examples:
        lines += ["", "Examples:", *(f"  {example}" for example in command.examples)]
    flags = sorted((flag for flag in command.flags if not flag.hidden), key=lambda flag: flag.name)
    if flags:
        column = max(len(_spelling(flag)) for flag in flags) + 2
        lines += ["", "Options:"]
        for flag in flags:
            lines += _entry(_spelling(flag), _explanation(flag), column, width)
    hidden = sorted(f"--{flag.name}" for flag in command.flags if flag.hidden)
    if hidden:
        text = f"Accepted for compatibility with buildkitd, without effect: {', '.join(hidden)}"
        lines += ["", *wrapped(text, width)]
    return "\n".join(lines)


def terminal_width() -> int:
    """The columns of the terminal of standard output, within limits for readable texts."""
    try:
        columns = os.get_terminal_size(1).columns
    except OSError:
        return _WIDTH
    return min(columns or _WIDTH, _WIDEST)


def _entry(name: str, text: str, column: int, width: int) -> list[str]:
    """A name, and its text from `column` on; below the name if there is too little space."""
    if width - column < _NARROWEST_TEXT:
        return [name, *(f"{'':8}{line}" for line in wrapped(text, width - 8))]
    lines = wrapped(text, width - column)
    return [f"{name:<{column}}{lines[0]}", *(f"{'':{column}}{line}" for line in lines[1:])]


def wrapped(text: str, width: int) -> list[str]:
    """Lines of at most `width` columns. A longer word gets its own line."""
    lines = [""]
    for word in text.split(" "):
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append(word)
        else:
            lines[-1] += f" {word}" if lines[-1] else word
    return lines


def _spelling(flag: Flag) -> str:
    short = f"-{flag.short}, " if flag.short else "    "
    if flag.optional:
        return f"  {short}--{flag.name}[={flag.value}]"
    return f"  {short}--{flag.name} {flag.value}".rstrip()


def _explanation(flag: Flag) -> str:
    text = flag.help
    if flag.choices:
        text += f" ({', '.join(flag.choices)})"
    if flag.repeat:
        text += "; repeatable"
    if flag.default:
        text += f" (default: {flag.default})"
    return text

"""Help texts from the table of flags, wrapped to the width of the terminal."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lamina.cli.flags import Command, Flag

_WIDTH = 80
"""The number of columns without a terminal."""
_WIDEST = 120
_NARROWEST_TEXT = 30


def overview(commands: Iterable[Command], width: int = 0) -> str:
    """The text of `lamina --help`. `width` is in columns, 0 for the terminal's."""
    width = width or terminal_width()
    listed = list(commands)
    column = max(len(command.name) for command in listed) + 4
    lines = [
        "Usage: lamina [--root DIR] COMMAND …",
        "",
        "Builds container images.",
        "",
        "Commands:",
    ]
    for command in listed:
        lines += _entry(f"  {command.name}", command.summary, column, width)
    lines += ["", "Run `lamina COMMAND --help` for help on a command."]
    return "\n".join(lines)


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

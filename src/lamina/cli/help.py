"""Help texts, drawn from the table of flags."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lamina.cli.flags import Command, Flag


def overview(commands: Iterable[Command]) -> str:
    """What `lamina --help` prints."""
    listed = list(commands)
    column = max(len(command.name) for command in listed) + 2
    lines = [
        "Usage: lamina [--root DIR] COMMAND …",
        "",
        "Builds container images.",
        "",
        "Commands:",
        *(f"  {command.name:<{column}}{command.summary}" for command in listed),
        "",
        "`lamina COMMAND --help` tells more about a command.",
    ]
    return "\n".join(lines)


def command_help(command: Command) -> str:
    """What `lamina COMMAND --help` prints."""
    lines = [f"Usage: lamina {command.name} {command.usage}".rstrip(), "", command.summary]
    if command.examples:
        lines += ["", "Examples:", *(f"  {example}" for example in command.examples)]
    if command.flags:
        flags = sorted(command.flags, key=lambda flag: flag.name)
        left = [_spelling(flag) for flag in flags]
        column = max(map(len, left)) + 2
        lines += ["", "Options:"]
        for spelling, flag in zip(left, flags, strict=True):
            lines.append(f"{spelling:<{column}}{_explanation(flag)}")
    return "\n".join(lines)


def _spelling(flag: Flag) -> str:
    short = f"-{flag.short}, " if flag.short else "    "
    return f"  {short}--{flag.name} {flag.value}".rstrip()


def _explanation(flag: Flag) -> str:
    text = flag.help
    if flag.choices:
        text += f" ({', '.join(flag.choices)})"
    if flag.repeat:
        text += "; may be given several times"
    if flag.default:
        text += f" (default: {flag.default})"
    return text

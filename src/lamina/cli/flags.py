"""The tables of flags: they parse arguments, print help and complete words in a shell.

The grammar is pflag's, as in docker's commands: `--name value`, `--name=value`, `-nvalue`, `-n
value`, `-n=value`, grouped switches (`-it`), `--switch=false`, and `--` to end the flags.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.booleans import parse_bool
from lamina.base.errors import InvalidInput
from lamina.base.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class Flag(NamedTuple):
    """A flag. Without `value` (the argument's name in help) it is a switch.

    `complete` is the kind of the argument for shells: `file`, `directory`, `image`, or "" if
    unknown. `choices` are all valid arguments, or with `open` the usual ones. `default` is only
    shown in help. `optional` is the value of a flag that is given without one: `--name` or
    `--name=value`. A `hidden` flag has no effect, and help only lists its name.
    """

    name: str
    help: str
    short: str = ""
    value: str = ""
    repeat: bool = False
    choices: tuple[str, ...] = ()
    complete: str = ""
    default: str = ""
    open: bool = False
    hidden: bool = False
    optional: str = ""


class Command(NamedTuple):
    """A subcommand.

    `usage` shows its arguments. Their number is `least` to `most` (None: no limit). `handler` is
    `module:function` below `lamina.cli`. With `passes_on`, everything after the first argument
    belongs to another program and is not parsed. `failure` is the exit status of errors.
    """

    name: str
    summary: str
    usage: str
    handler: str
    flags: tuple[Flag, ...] = ()
    least: int = 0
    most: int | None = 0
    complete: str = ""
    choices: tuple[str, ...] = ()
    passes_on: bool = False
    examples: tuple[str, ...] = ()
    failure: int = 1


class Parsed:
    """A parsed command line: the values of each flag, in order, and the arguments."""

    __slots__ = ("_values", "arguments", "command")

    def __init__(self, command: Command) -> None:
        self.command = command
        self.arguments: list[str] = []
        self._values: dict[str, list[str]] = {}

    def give(self, flag: Flag, value: str) -> None:
        """Add a value after checking it. Raises InvalidInput."""
        if not flag.value:
            if parse_bool(value) is None:
                raise InvalidInput(f'invalid argument "{value}" for --{flag.name}: not a boolean')
        elif flag.choices and not flag.open and value not in flag.choices:
            raise InvalidInput(
                f'invalid argument "{value}" for --{flag.name}{suggestion(value, flag.choices)}',
                hint=f"choose from {', '.join(flag.choices)}",
            )
        self._values.setdefault(flag.name, []).append(value)

    def given(self, name: str) -> bool:
        """Whether the flag is on the command line."""
        return name in self._values

    def switch(self, name: str) -> bool:
        """The state of a switch. Its last occurrence counts."""
        return bool(parse_bool(self._values.get(name, ["false"])[-1]))

    def text(self, name: str, default: str = "") -> str:
        """The last value of a flag."""
        return self._values.get(name, [default])[-1]

    def all(self, name: str) -> list[str]:
        """All values of a repeatable flag, in order."""
        return self._values.get(name, [])


class HelpWanted(Exception):
    """`--help` is among the flags."""


def parse(command: Command, arguments: Sequence[str]) -> Parsed:
    """Parse the words after a subcommand's name.

    Raises InvalidInput for unknown flags, missing or superfluous arguments and bad values;
    HelpWanted for `-h` and `--help`.
    """
    parsed = Parsed(command)
    by_name = {flag.name: flag for flag in command.flags}
    by_short = {flag.short: flag for flag in command.flags if flag.short}
    rest = list(reversed(arguments))
    while rest:
        word = rest.pop()
        if word == "--":
            parsed.arguments.extend(reversed(rest))
            break
        if word.startswith("--"):
            _read_long(parsed, word, rest, by_name)
        elif len(word) > 1 and word[0] == "-":
            _read_short(parsed, word, rest, by_short)
        else:
            parsed.arguments.append(word)
            if command.passes_on:
                parsed.arguments.extend(reversed(rest))
                break
    _check_count(parsed)
    return parsed


def _read_long(parsed: Parsed, word: str, rest: list[str], by_name: dict[str, Flag]) -> None:
    name, equals, value = word[2:].partition("=")
    flag = by_name.get(name)
    if flag is None:
        if name == "help":
            raise HelpWanted
        raise InvalidInput(
            f"unknown flag: --{name}{suggestion(name, by_name, prefix='--')}",
            hint=see_help(parsed.command),
        )
    if equals:
        parsed.give(flag, value)
    elif flag.optional or not flag.value:
        parsed.give(flag, flag.optional or "true")
    else:
        parsed.give(flag, _argument(f"--{name}", rest))


def _read_short(parsed: Parsed, word: str, rest: list[str], by_short: dict[str, Flag]) -> None:
    letters = word[1:]
    for place, letter in enumerate(letters):
        flag = by_short.get(letter)
        if flag is None:
            if letter == "h":
                raise HelpWanted
            raise InvalidInput(
                f'unknown shorthand flag: "{letter}" in {word}', hint=see_help(parsed.command)
            )
        after = letters[place + 1 :]
        if after.startswith("="):
            parsed.give(flag, after[1:])
            return
        if flag.value and not flag.optional:
            parsed.give(flag, after or _argument(f"-{letter}", rest))
            return
        parsed.give(flag, flag.optional or "true")


def _argument(flag: str, rest: list[str]) -> str:
    if not rest:
        raise InvalidInput(f"flag needs an argument: {flag}")
    return rest.pop()


def _check_count(parsed: Parsed) -> None:
    command = parsed.command
    count = len(parsed.arguments)
    if command.least <= count and (command.most is None or count <= command.most):
        return
    if command.most == command.least:
        wanted = f"exactly {command.least}" if command.least else "no"
    elif count < command.least:
        wanted = f"at least {command.least}"
    else:
        wanted = f"at most {command.most}"
    noun = "argument" if wanted.endswith(" 1") else "arguments"
    raise InvalidInput(
        f'"lamina {command.name}" takes {wanted} {noun}, not {count}',
        hint=f"usage: lamina {command.name} {command.usage}",
    )


def see_help(command: Command) -> str:
    return f"`lamina {command.name} --help` lists the flags"


def suggestion(word: str, known: Iterable[str], prefix: str = "") -> str:
    """`, did you mean "…"?` if a known word is similar, else ""."""
    import difflib

    close = difflib.get_close_matches(word, list(known), 1, 0.6)
    return f', did you mean "{prefix}{close[0]}"?' if close else ""

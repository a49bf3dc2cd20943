"""Finds the program of a shell command, after `sudo`, `env` and assignments."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

from lamina.base.named_tuple import NamedTuple

if TYPE_CHECKING:
    from lamina.advise.shell import ShellCommand, Word

_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
_WRAPPERS = frozenset(("sudo", "env", "exec", "time", "nice", "command", "doas"))
_PYTHON = re.compile(r"(?:python|pypy)[\d.]*")
_VERSIONED = re.compile(r"(pip)[\d.]+")


class Invocation(NamedTuple):
    """A program, by the last component of its path, and its arguments.

    `name` is the word of the program; of `python -m pip` it is that of the module.
    """

    command: ShellCommand
    program: str
    name: Word
    arguments: tuple[Word, ...]
    sudo: bool = False
    assigned: tuple[str, ...] = ()

    def subcommand(self, valued: frozenset[str] = frozenset()) -> str:
        """The first argument that is no flag; `valued` are the flags with a separate value."""
        skip = False
        for word in self.arguments:
            if skip:
                skip = False
            elif word.value.startswith(("-", "+")):
                skip = word.value in valued
            else:
                return word.value
        return ""

    def has_flag(self, *names: str) -> bool:
        """Whether a flag is given, with or without a value."""
        return any(word.value.partition("=")[0] in names for word in self.arguments)


def invocation(command: ShellCommand) -> Invocation | None:
    """The program of a command; None if it only assigns variables."""
    words = list(command.words)
    sudo = False
    assigned = []
    while words:
        value = words[0].value
        name = posixpath.basename(value)
        if _ASSIGNMENT.match(words[0].text):
            assigned.append(value.partition("=")[0])
        elif name in _WRAPPERS:
            sudo = sudo or name in ("sudo", "doas")
            while len(words) > 1 and words[1].value.startswith("-"):
                del words[1]
        else:
            break
        del words[0]
    if not words:
        return None
    first, *arguments = words
    program = posixpath.basename(first.value)
    if _PYTHON.fullmatch(program):
        values = [word.value for word in arguments]
        if "-m" in values[:-1]:
            module = values.index("-m") + 1
            if not any(not value.startswith("-") for value in values[: module - 1]):
                first = arguments[module]
                program, arguments = values[module], arguments[module + 1 :]
    if match := _VERSIONED.fullmatch(program):
        program = match[1]
    return Invocation(command, program, first, tuple(arguments), sudo, tuple(assigned))


def exec_invocation(words: tuple[str, ...]) -> Invocation | None:
    """The program in the exec form of an instruction. Positions are not known (all 0)."""
    from lamina.advise.shell import ShellCommand, Word

    found = tuple(Word(0, 0, word, word) for word in words)
    if not found:
        return None
    return invocation(ShellCommand(found, (), 0, 0, "", "", 0, 0, nested=True))

"""Every subcommand. Names, shorthands and meanings of flags are docker's.

The tables are in `lamina.cli.usage`. A command line imports only the table of its command.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lamina.cli.flags import Command

_TABLES = {
    "build": "building",
    "bake": "building",
    "images": "images",
    "rmi": "images",
    "run": "images",
    "inspect": "images",
    "tag": "images",
    "save": "images",
    "load": "images",
    "image ls": "images",
    "image rm": "images",
    "image inspect": "images",
    "image history": "images",
    "image tag": "images",
    "image save": "images",
    "image load": "images",
    "image push": "images",
    "image pull": "images",
    "image prune": "images",
    "diff": "images",
    "sbom": "images",
    "push": "images",
    "pull": "images",
    "login": "images",
    "logout": "images",
    "imagetools inspect": "images",
    "imagetools create": "images",
    "create": "builders",
    "use": "builders",
    "ls": "builders",
    "bootstrap": "builders",
    "stop": "builders",
    "rm": "builders",
    "dial-stdio": "builders",
    "du": "stores",
    "history": "building",
    "ui": "stores",
    "prune": "stores",
    "logs": "building",
    "plan": "building",
    "explain": "building",
    "debug": "building",
    "dap": "building",
    "check": "stores",
    "advise": "building",
    "daemon": "stores",
    "cache": "stores",
    "install": "program",
    "uninstall": "program",
    "config check": "program",
    "info": "program",
    "version": "program",
    "completion": "program",
}
"""The commands in the order of the overview, and the module of each one's table."""

GROUPS = {
    "image": "Manage the images of the local store",
    "config": "Check configuration files",
    "imagetools": "Inspect images in registries, or create image indexes there",
}
"""The first words of commands with two words, and what they are about."""

ALIASES = {"b": "build", "f": "bake", "image build": "build", "image list": "image ls"}
"""Other names of commands (docker and docker buildx)."""


class CommandTable(Mapping[str, "Command"]):
    """The commands by name. A table is imported when one of its commands is asked for."""

    def __getitem__(self, name: str) -> Command:
        return _table(_TABLES[name])[name]

    def __iter__(self) -> Iterator[str]:
        return iter(_TABLES)

    def __len__(self) -> int:
        return len(_TABLES)

    def __contains__(self, name: object) -> bool:
        return name in _TABLES

    def split(self, words: Sequence[str]) -> tuple[str, list[str]]:
        """The command at the start of a command line, which may have two words, and the rest.

        The name is that of a group, or unknown, if there is no such command.
        """
        first, *rest = words
        if rest:
            both = f"{first} {rest[0]}"
            both = ALIASES.get(both, both)
            if both in _TABLES:
                return both, rest[1:]
        return ALIASES.get(first, first), rest

    def group(self, name: str) -> list[Command]:
        """The commands that begin with a word."""
        return [self[command] for command in _TABLES if command.startswith(f"{name} ")]


@cache
def _table(module: str) -> dict[str, Command]:
    commands: tuple[Command, ...] = import_module(f"lamina.cli.usage.{module}").COMMANDS
    return {command.name: command for command in commands}


COMMANDS = CommandTable()

"""Finds and reads bake files."""

from __future__ import annotations

import os
from typing import IO, TYPE_CHECKING

from lamina.bake.hcl.syntax import Source
from lamina.base.errors import InvalidInput, NotFound, from_os_error

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

DEFAULT_NAMES = (
    *("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"),
    *("docker-bake.json", "docker-bake.hcl"),
    *("docker-bake.override.json", "docker-bake.override.hcl"),
)
"""The files that are read without `-f`, as far as they exist; later ones override earlier ones."""


def read_files(names: Sequence[str], stdin: IO[bytes]) -> list[Source]:
    """Read files, `-` from standard input. Raises NotFound, InvalidInput, PermissionDenied."""
    if names:
        return [decoded(name, _read(name, stdin)) for name in names]
    found = [Source(name, "") for name in DEFAULT_NAMES if os.path.exists(name)]
    if not found:
        raise NotFound(
            "there is no bake file in this directory",
            hint=f"name one with -f, or create one of {', '.join(DEFAULT_NAMES)}",
        )
    return [decoded(source.name, _read(source.name, stdin)) for source in found]


def _read(name: str, stdin: IO[bytes]) -> bytes:
    if name == "-":
        return stdin.read()
    try:
        with open(name, "rb") as file:
            return file.read()
    except OSError as error:
        raise from_os_error(error, "read bake file") from error


def decoded(name: str, data: bytes) -> Source:
    """A file as text. Raises InvalidInput if it is not UTF-8."""
    try:
        return Source(name, data.decode().removeprefix("\ufeff"))
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{name} is not UTF-8 at byte {error.start}") from None


def names_from_environment(environ: Mapping[str, str]) -> list[str]:
    """The files that BUILDX_BAKE_FILE names. Raises NotFound if one does not exist."""
    separator = environ.get("BUILDX_BAKE_PATH_SEPARATOR") or os.pathsep
    names = [name.strip() for name in environ.get("BUILDX_BAKE_FILE", "").split(separator)]
    for name in filter(None, names):
        if name != "-" and not os.path.exists(name):
            raise NotFound(f"BUILDX_BAKE_FILE names {name}, which does not exist")
    return [name for name in names if name]


def parse_variables(given: Sequence[str]) -> dict[str, str]:
    """`--var NAME=VALUE`. Raises InvalidInput."""
    found = {}
    for text in given:
        name, equals, value = text.partition("=")
        if text and not (name and equals):
            raise InvalidInput(f'invalid --var "{text}"', hint="--var NAME=VALUE")
        if text:
            found[name] = value
    return found

"""Bake definitions in git repositories, and at URLs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from lamina.bake.files import DEFAULT_NAMES, decoded
from lamina.bake.locations import WORKING_DIRECTORY, is_remote
from lamina.base.errors import InvalidInput, NotFound, from_os_error
from lamina.base.git_url import is_git_context
from lamina.base.named_tuple import NamedTuple
from lamina.client.contract import SessionProviders

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lamina.bake.hcl.syntax import Source

_LIMIT = 2 * 1000 * 1000
"""Bytes of a definition at a URL."""


class BakeArguments(NamedTuple):
    """The arguments of `lamina bake [DEFINITION [CONTEXT]] [TARGET…]`.

    `definition` is a repository or a URL, "" for files here. `context` is `BAKE_CMD_CONTEXT`.
    """

    definition: str
    context: str
    targets: tuple[str, ...]


def split_arguments(arguments: Sequence[str]) -> BakeArguments:
    """The URLs before the targets."""
    urls = [argument for argument in arguments[:2] if is_remote(argument)]
    if arguments and not is_remote(arguments[0]):
        urls = []
    context = urls[1] if len(urls) > 1 else WORKING_DIRECTORY
    targets = tuple(arguments[len(urls) :]) or ("default",)
    return BakeArguments(urls[0] if urls else "", context, targets)


def read_remote(url: str, names: Sequence[str]) -> list[Source]:
    """The bake files in a repository, or the one at a URL.

    Raises InvalidInput, NotFound, Unavailable.
    """
    if is_git_context(url):
        return _from_repository(url, names)
    from lamina.cli.remote import open_url

    with open_url(url, SessionProviders()) as (response, _):
        data = response.read(_LIMIT + 1)
    if len(data) > _LIMIT:
        raise InvalidInput(
            f"{url} has more than {_LIMIT} bytes",
            hint="a bake definition at a URL is one file; archives are not supported",
        )
    return [decoded(url, data)]


def _from_repository(url: str, names: Sequence[str]) -> list[Source]:
    from lamina.cli.remote import cloned

    with cloned(url, SessionProviders()) as (directory, _):
        found = [_read(directory, name, url) for name in names or DEFAULT_NAMES]
    sources = [source for source in found if source is not None]
    missing = [name for name, source in zip(names, found, strict=False) if source is None]
    if missing or not sources:
        what = missing[0] if missing else "bake file"
        raise NotFound(f"there is no {what} in {url}", hint="name files of the repository with -f")
    return sources


def _read(directory: str, name: str, url: str) -> Source | None:
    """A file of a repository, None if there is none. Links do not lead out of it."""
    root = os.path.realpath(directory)
    path = os.path.realpath(os.path.join(root, name))
    if os.path.commonpath((root, path)) != root:
        raise InvalidInput(f"{name} is not in {url}")
    try:
        with open(path, "rb") as file:
            return decoded(name, file.read())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise from_os_error(error, "read bake file") from error

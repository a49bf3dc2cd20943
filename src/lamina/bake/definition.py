"""The content of bake files."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lamina.base.booleans import parse_bool
from lamina.base.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lamina.bake.target import Group, Target
    from lamina.bake.variables import Variable

_NAME = re.compile(r"[a-zA-Z0-9_-]+")


class Definition(NamedTuple):
    """What the bake files define. Names of targets are unique, and so are those of groups.

    `variables` is None for Compose files, which define none.
    """

    targets: tuple[Target, ...] = ()
    groups: tuple[Group, ...] = ()
    variables: tuple[Variable, ...] | None = None

    def target(self, name: str) -> Target | None:
        return next((target for target in self.targets if target.name == name), None)

    def group(self, name: str) -> Group | None:
        return next((group for group in self.groups if group.name == name), None)


def look_up_with(
    given: Mapping[str, str], environ: Mapping[str, str]
) -> Callable[[str], str | None]:
    """The value of a variable in `--var`, else in the environment."""
    return {**environment_allowed(environ), **given}.get


def environment_allowed(environ: Mapping[str, str]) -> Mapping[str, str]:
    """The environment, or nothing with BUILDX_BAKE_DISABLE_VARS_ENV_LOOKUP."""
    return {} if parse_bool(environ.get("BUILDX_BAKE_DISABLE_VARS_ENV_LOOKUP", "")) else environ


def check_name(name: str) -> None:
    """Raises ValueError if no target can have this name."""
    if _NAME.fullmatch(name) is None:
        raise ValueError(f'invalid name "{name}": letters, digits, "_" and "-" are allowed')

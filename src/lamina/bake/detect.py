"""Detects whether a file is HCL, JSON or Compose, by its name or its content."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.bake.hcl.json_syntax import parse_json_body
from lamina.bake.hcl.parse import parse_body
from lamina.base.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lamina.bake.hcl.syntax import Body, Source


def sorted_by_format(
    sources: Sequence[Source], variables: Mapping[str, str]
) -> tuple[list[Source], list[Body]]:
    """Compose files, and the syntax trees of the others. Raises InvalidInput."""
    compose: list[Source] = []
    bodies: list[Body] = []
    for source in sources:
        name = source.name.lower()
        if name.endswith((".yml", ".yaml")):
            compose.append(source)
        elif name.endswith(".json"):
            bodies.append(parse_json_body(source))
        elif name.endswith(".hcl"):
            bodies.append(parse_body(source))
        elif _is_compose(source, variables):
            compose.append(source)
        else:
            bodies.append(_hcl_or_json(source))
    return compose, bodies


def _is_compose(source: Source, variables: Mapping[str, str]) -> bool:
    from lamina.bake.compose.project import is_compose

    return is_compose(source, variables)


def _hcl_or_json(source: Source) -> Body:
    try:
        return parse_body(source)
    except InvalidInput as error:
        try:
            return parse_json_body(source)
        except InvalidInput:
            raise error from None

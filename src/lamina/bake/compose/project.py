"""Reads Compose files to targets."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lamina.bake.definition import Definition
    from lamina.bake.hcl.syntax import Source


def is_compose(source: Source, variables: Mapping[str, str]) -> bool:
    return False


def read_compose(sources: Sequence[Source], variables: Mapping[str, str]) -> Definition:
    raise NotImplementedError

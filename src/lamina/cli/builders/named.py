"""The builder that a command's argument names."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from lamina.cli.opening import chosen_builder, default_root
from lamina.cli.units import parse_duration
from lamina.client.builders.choosing import find_builder

if TYPE_CHECKING:
    from lamina.cli.flags import Parsed
    from lamina.client.builders.node_group import NodeGroup


def named_builder(parsed: Parsed) -> NodeGroup:
    """The builder of the first argument, else that of `--builder`, else the chosen one.

    Raises NotFound, Unsupported, InvalidInput, Corrupt.
    """
    if parsed.arguments:
        return find_builder(parsed.arguments[0], default_root(os.environ), os.environ)
    return chosen_builder(parsed)


def timeout(parsed: Parsed) -> float:
    """The seconds of `--timeout`. Raises InvalidInput."""
    return parse_duration(parsed.text("timeout", "20s"), "timeout")

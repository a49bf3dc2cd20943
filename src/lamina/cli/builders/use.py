"""`lamina use`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput
from lamina.cli.opening import default_root
from lamina.client.builders.builder_files import BuilderFiles
from lamina.client.builders.choosing import find_builder
from lamina.client.builders.node_group import DEFAULT

if TYPE_CHECKING:
    from lamina.cli.flags import Parsed


def run(parsed: Parsed) -> int:
    """Choose the builder of later commands."""
    name = parsed.arguments[0] if parsed.arguments else parsed.text("builder")
    if not name:
        raise InvalidInput("the name of a builder is missing", hint="`lamina ls` lists them")
    group = find_builder(name, default_root(os.environ), os.environ)
    files = BuilderFiles(os.environ)
    with files.locked():
        files.use(
            "" if group.name == DEFAULT else group.name,
            always=parsed.switch("global"),
            default=parsed.switch("default"),
        )
    return 0

"""`lamina inspect`: of a builder (docker buildx), or of images (docker)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput

if TYPE_CHECKING:
    from lamina.cli.flags import Parsed

_BUILDER_FLAGS = ("bootstrap", "timeout")


def run(parsed: Parsed) -> int:
    """Print the named builder or images; without a name, the current builder."""
    kind = parsed.text("type") or _kind(parsed)
    if kind == "builder":
        from lamina.cli.builders.inspect import inspect_builder

        if len(parsed.arguments) > 1:
            raise InvalidInput("`lamina inspect` takes at most 1 builder")
        return inspect_builder(parsed)
    for name in _BUILDER_FLAGS:
        if parsed.given(name):
            raise InvalidInput(
                f"--{name} is for builders, and {', '.join(parsed.arguments)} is not one",
                hint="`lamina ls` lists the builders",
            )
    from lamina.cli.image_commands import inspect_images

    return inspect_images(parsed)


def _kind(parsed: Parsed) -> str:
    """What a name is: a builder if there is one of that name, else an image."""
    names = parsed.arguments
    if not names:
        return "builder"
    from lamina.client.builders.builder_files import BuilderFiles
    from lamina.client.builders.node_group import DEFAULT

    if len(names) > 1:
        return "image"
    try:
        known = names[0] == DEFAULT or BuilderFiles(os.environ).find(names[0]) is not None
    except InvalidInput:  # the names of images may have other characters
        return "image"
    return "builder" if known else "image"

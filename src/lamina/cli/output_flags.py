"""Outputs with what other flags add to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.cli import values
from lamina.client.contract import OutputSpec

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

IMAGES = ("image", "registry")
_KINDS = (*IMAGES, "oci", "docker")


def annotated(outputs: Sequence[OutputSpec], texts: Iterable[str]) -> tuple[OutputSpec, ...]:
    """The outputs with annotations; an image in the store if there is no output for them."""
    pairs = [pair for text in texts for pair in values.parse_annotation(text)]
    if pairs and not outputs:
        outputs = (OutputSpec("image"),)
    return tuple(with_attributes(o, *pairs) if o.type in _KINDS else o for o in outputs)


def with_attributes(output: OutputSpec, *pairs: tuple[str, str]) -> OutputSpec:
    """The output with more attributes; what it says itself stays."""
    return output._replace(attributes=tuple({**dict(pairs), **dict(output.attributes)}.items()))

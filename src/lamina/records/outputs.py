"""The part of a record about a build's outputs."""

from __future__ import annotations

import json
from binascii import b2a_base64
from typing import TYPE_CHECKING, Any

from lamina.api.descriptor import Descriptor
from lamina.exporters.destination import ArchiveOutput, ImageOutput, LoadOutput

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lamina.exporters.destination import Output

_DESCRIPTOR = "containerimage.descriptor"


def recorded_images(
    outputs: Sequence[Output], metadata: Sequence[Mapping[str, Any]]
) -> tuple[tuple[int, Descriptor], ...]:
    """The images among the outputs, by the number of the output; `metadata` is that of each."""
    found = []
    for number, (output, described) in enumerate(zip(outputs, metadata, strict=True)):
        document = described.get(_DESCRIPTOR)
        if isinstance(output, ImageOutput | ArchiveOutput | LoadOutput) and document is not None:
            target = Descriptor(document["mediaType"], document["digest"], document["size"])
            found.append((number, target))
    return tuple(found)


def wire_metadata(metadata: Mapping[str, Any]) -> dict[str, str]:
    """Metadata of outputs as in BuildKit's responses: texts, and documents as JSON in Base64."""
    return {
        key: value if isinstance(value, str) else _base64(json.dumps(value).encode())
        for key, value in metadata.items()
    }


def _base64(data: bytes) -> str:
    return b2a_base64(data, newline=False).decode()

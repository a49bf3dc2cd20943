"""JSON as Go's `encoding/json` writes it, since digests are over bytes."""

from __future__ import annotations

import json

_ESCAPES = str.maketrans(
    {
        "<": "\\u003c",
        ">": "\\u003e",
        "&": "\\u0026",
        "\u2028": "\\u2028",
        "\u2029": "\\u2029",
    }
)


def encode(document: object, indent: int | None = None) -> bytes:
    """Compact, or indented as `MarshalIndent` does. Keys keep their order."""
    separators = (",", ":") if indent is None else (",", ": ")
    text = json.dumps(document, ensure_ascii=False, separators=separators, indent=indent)
    # Outside strings these five never occur, so one pass over the whole text is right.
    return text.translate(_ESCAPES).encode(errors="replace")

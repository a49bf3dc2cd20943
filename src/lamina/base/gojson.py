"""JSON as Go's `encoding/json` writes it, since digests are over bytes."""

from __future__ import annotations

import json

_ESCAPES: dict[int, str] = {
    # Bytes that are no UTF-8 are surrogates here, and each a replacement character in Go.
    **dict.fromkeys(range(0xD800, 0xE000), "\\ufffd"),
    **{ord(character): f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"},
}


def encode(document: object, indent: int | None = None) -> bytes:
    """Compact, or indented as `MarshalIndent` does. Keys keep their order."""
    separators = (",", ":") if indent is None else (",", ": ")
    text = json.dumps(document, ensure_ascii=False, separators=separators, indent=indent)
    # Outside strings these never occur, so one pass over the whole text is right.
    return text.translate(_ESCAPES).encode()

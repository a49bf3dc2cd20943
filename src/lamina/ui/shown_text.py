"""Texts of builds as the UI shows them."""

from __future__ import annotations

from lamina.base.redact import redacted

# Control characters but for tabs and line breaks, and those that reverse the order of text.
_HIDDEN = (
    *range(9),
    *range(11, 32),
    *range(127, 160),
    *range(0x202A, 0x202F),
    *range(0x2066, 0x206A),
)
_REPLACED = dict.fromkeys(_HIDDEN, "\ufffd")


def shown_text(text: str) -> str:
    """A text without passwords in URLs, and without characters that change how others are shown."""
    return redacted(text).translate(_REPLACED)

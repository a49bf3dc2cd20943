"""Removes credentials from URLs, for display."""

from __future__ import annotations

import re
from typing import Any

_URL = (
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]{0,31})://"
    r"(?:"
    # The part before the last @ of the authority.
    r"(?P<user>[^/?#\s:\"'<>`]{0,512})(?P<password>:[^/?#\s\"'<>`]{0,512})?(?=@)"
    r"|"
    # A password with invalid characters: the part after the host is not a port.
    r"(?P<name>[^/?#\s:@\[\"'<>`]{0,512})(?P<rest>:(?!\d*(?:[/?#\s]|\Z))[^\s\"'<>`]{0,512})(?=@)"
    r")"
)
# The tag of an image is not a password.
_OTHERS = ("docker-image", "oci-layout", "docker-image+blob", "oci-layout+blob")


def redacted(text: str) -> str:
    """A text without the users and passwords in its URLs.

    `https://user:password@host/x` becomes `https://xxxxx:xxxxx@host/x`, BuildKit's format.
    """
    return re.sub(_URL, _hidden, text) if "@" in text and "://" in text else text


def redacted_bytes(data: bytes) -> bytes:
    """As `redacted`, for UTF-8; other bytes are kept."""
    if b"@" not in data or b"://" not in data:
        return data
    return redacted(data.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")


def redacted_values(value: Any) -> Any:
    """A value with all texts in it redacted: those in lists, tuples and mappings, at any depth."""
    if isinstance(value, str):
        shown = redacted(value)
        return value if shown == value else shown  # a Digest stays one
    if isinstance(value, bytes):
        return redacted_bytes(value)
    if isinstance(value, dict):
        return {key: redacted_values(item) for key, item in value.items()}
    if isinstance(value, list):
        return [redacted_values(item) for item in value]
    if isinstance(value, tuple):
        items = map(redacted_values, value)
        return type(value)._make(items) if hasattr(value, "_make") else tuple(items)
    return value


def _hidden(match: re.Match[str]) -> str:
    scheme = match["scheme"]
    if scheme.lower() in _OTHERS:
        return match[0]
    user, password = match["user"], match["password"]
    if user is None:
        user, password = match["name"], match["rest"]
    return f"{scheme}://{'xxxxx' if user else ''}{':xxxxx' if password is not None else ''}"

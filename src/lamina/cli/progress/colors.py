"""The four colours of the terminal display, from `NO_COLOR` and `BUILDKIT_COLORS`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

_NAMES = ("black", "red", "green", "yellow", "blue", "magenta", "cyan", "white")
RESET = "\x1b[0m"


class Colors(NamedTuple):
    """Escape sequences that begin a colour; "" changes nothing."""

    run: str = "\x1b[34m"
    cancel: str = "\x1b[33m"
    error: str = "\x1b[31m"
    warning: str = "\x1b[33m"
    faint: str = "\x1b[2m"


def choose_colors(environ: Mapping[str, str]) -> Colors:
    """Parse `run=green:error=255,0,0:…`. Invalid entries are ignored."""
    if environ.get("NO_COLOR"):
        return Colors("", "", "", "", "")
    chosen: dict[str, str] = {}
    for entry in environ.get("BUILDKIT_COLORS", "").split(":"):
        key, _, value = entry.strip().lower().partition("=")
        code = _code(value.strip().strip('"'))
        if key in ("run", "cancel", "error", "warning") and code:
            chosen[key] = code
    return Colors()._replace(**chosen)


def paint(text: str, color: str) -> str:
    return f"{color}{text}{RESET}" if color else text


def _code(value: str) -> str:
    if value == "default":
        return "\x1b[39m"
    light = value.startswith("light-")
    name = value.removeprefix("light-")
    if name in _NAMES:
        return f"\x1b[{(90 if light else 30) + _NAMES.index(name)}m"
    parts = value.split(",")
    if len(parts) != 3 or not all(p.strip().isdigit() and int(p) <= 255 for p in parts):
        return ""
    red, green, blue = (int(part) * 6 // 256 for part in parts)
    return f"\x1b[38;5;{16 + 36 * red + 6 * green + blue}m"

"""Parts of the JSON and the tables that `--call` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lamina.base.location import Location
    from lamina.dockerfile.lexer import Node


def json_location(location: Location | None) -> dict[str, Any]:
    """BuildKit's `pb.Location`: one range for every line."""
    if location is None:
        return {}
    lines = range(location.start, max(location.start, location.end) + 1)
    return {"ranges": [{"start": {"line": n}, "end": {"line": n}} for n in lines]}


def base64_text(data: bytes) -> str:
    """Bytes in Go's JSON encoding."""
    from base64 import b64encode

    return b64encode(data).decode("ascii")


def without_empty(fields: dict[str, Any]) -> dict[str, Any]:
    """The object without empty fields (Go's `omitempty`)."""
    return {key: value for key, value in fields.items() if value}


def description(node: Node, name: str) -> str:
    """The description of a name in the comment directly above an instruction: `# name …`."""
    if name:
        for comment in node.comments:
            if comment.startswith(f"{name} "):
                return comment[len(name) + 1 :]
    return ""


def columns(rows: Sequence[Sequence[str]], gap: int) -> str:
    """Rows as lines; every column but the last is as wide as its widest cell and a gap."""
    widths = [max(map(len, column)) + gap for column in zip(*rows, strict=True)]
    widths[-1] = 0
    return "".join(
        "".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + "\n"
        for row in rows
    )

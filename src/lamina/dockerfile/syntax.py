"""`# syntax=`: the frontend of a text in any language."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from lamina.base.location import Location

if TYPE_CHECKING:
    from lamina.dockerfile.contract import DockerfileText

OURSELVES = ("docker.io/docker/dockerfile", "docker.io/docker/dockerfile-upstream")
"""The frontend images that lamina's own frontend replaces."""
LANGUAGE_VERSION = "1.26.0"
"""The version of BuildKit's Dockerfile frontend whose language is supported."""
_LIMIT = 64 << 10
_DIRECTIVE = re.compile(r"([A-Za-z][A-Za-z0-9]*)\s*=\s*(\S(?:.*\S)?|[^\S\n])\s*\Z")


def find_syntax(data: bytes) -> str:
    """The value of the `syntax` directive, "" if there is none.

    It is one of the directives at the top, after a `#!` line if there is one, in comments that
    begin with `#` or `//`; or it is the member `syntax` of a JSON document.
    """
    text = data[:_LIMIT].decode("utf-8", "replace").removeprefix("\ufeff")
    if text.startswith("#!"):
        text = text.partition("\n")[2]
    for comment in ("#", "//"):
        found = _among_directives(text, comment)
        if found:
            return found
    if not text.lstrip().startswith("{"):
        return ""
    try:
        document, _ = json.JSONDecoder().raw_decode(text.lstrip())
    except (ValueError, RecursionError):
        return ""
    syntax = document.get("syntax") if isinstance(document, dict) else None
    return syntax if isinstance(syntax, str) else ""


def syntax_location(text: DockerfileText) -> Location:
    """The location of the directive; the first line if there is none."""
    whole = text.data.decode("utf-8", "surrogateescape")
    for number, line in enumerate(whole.split("\n"), 1):
        if "syntax" in line.lower():
            return Location(text.filename, number, number, whole)
    return Location(text.filename, 1, 1, whole)


def _among_directives(text: str, comment: str) -> str:
    for line in text.split("\n"):
        line = line.strip()
        if not line.startswith(comment):
            return ""
        directive = _DIRECTIVE.match(line[len(comment) :].strip())
        if directive is None:
            return ""
        if directive[1].lower() == "syntax":
            return directive[2]
    return ""

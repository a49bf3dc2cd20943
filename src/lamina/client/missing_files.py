"""Explains why COPY found no file: similar names in the context, and rules of the ignore file."""

from __future__ import annotations

import os
import re
import stat
from typing import TYPE_CHECKING

from lamina.base.errors import LaminaError, NotFound
from lamina.base.patterns import PatternMatcher
from lamina.dockerfile.ignore import read_patterns
from lamina.dockerfile.suggest import nearest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lamina.client.contract import ContextSpec

_MISSING = re.compile(r'"/(.+)": not found')
_COPY = re.compile(r"\s*(?:COPY|ADD)\s(?!.*--from=)", re.IGNORECASE)
_LIMIT = 1 << 20


def missing_hint(error: LaminaError, context: ContextSpec) -> str:
    """The hint for an error of COPY from a local context; "" for other errors, or if nothing is
    known."""
    found = _MISSING.search(error.reason)
    if found is None or not isinstance(error, NotFound) or not context.path:
        return ""
    if not _reads_context(error):
        return ""
    path = os.path.normpath(found[1])
    if path.startswith(".."):
        return ""
    try:
        if os.path.lexists(os.path.join(context.path, path)):
            return _exclusion(path, context)
        return _near(path, context.path)
    except (OSError, LaminaError):
        return ""


def _reads_context(error: LaminaError) -> bool:
    place = error.location
    if place is None or not place.text:
        return False
    lines = place.text.split("\n")[place.start - 1 : place.end]
    return _COPY.match(" ".join(lines)) is not None


def _exclusion(path: str, context: ContextSpec) -> str:
    for shown, name in _ignore_files(context):
        try:
            data = _read(name)
        except FileNotFoundError:
            continue
        matched = ""
        for number, line in enumerate(data.split(b"\n"), 1):
            for pattern in read_patterns(line):
                negated = pattern.startswith("!")
                if PatternMatcher((pattern[negated:],)).matches(path):
                    text = line.decode("utf-8", "replace").strip()
                    matched = "" if negated else f"line {number} of {shown} ({text}) excludes it"
        return matched
    return ""


def _ignore_files(context: ContextSpec) -> Iterator[tuple[str, str]]:
    """The ignore files in order of precedence: that of the Dockerfile, then that of the context."""
    if context.dockerfile and context.dockerfile_data is None:
        own = f"{context.dockerfile}.dockerignore"
        yield os.path.basename(own), own
    yield ".dockerignore", os.path.join(context.path, ".dockerignore")


def _read(path: str) -> bytes:
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        return file.read(_LIMIT) if stat.S_ISREG(os.fstat(file.fileno()).st_mode) else b""


def _near(path: str, root: str) -> str:
    """The path with its first missing part replaced by a similar name."""
    parts = path.split("/")
    for place, part in enumerate(parts):
        folder = os.path.join(root, *parts[:place])
        if os.path.lexists(os.path.join(folder, part)):
            continue
        names = os.listdir(folder)
        by_case = {name.lower(): name for name in names}
        near = by_case.get(part.lower()) or nearest(part, names)
        return (
            f"did you mean {'/'.join([*parts[:place], near, *parts[place + 1 :]])}?" if near else ""
        )
    return ""

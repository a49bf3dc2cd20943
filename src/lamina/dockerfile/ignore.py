"""Patterns as moby matches them (`moby/patternmatcher`): `.dockerignore`, `--exclude`.

Not git's rules: patterns are anchored at the root, `**` spans folders, a match of a folder
covers what is below it, and the last matching pattern wins, `!` turning it around.
"""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Sequence


class PatternMatcher:
    """A list of patterns, compiled. Raises InvalidInput for one that is malformed."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self._rules: list[tuple[re.Pattern[str], bool]] = []
        for pattern in patterns:
            text = pattern.strip()
            if not text:
                continue
            negated = text.startswith("!")
            if negated:
                text = text[1:].strip()
                if not text:
                    raise InvalidInput('illegal exclusion pattern: "!"')
            text = posixpath.normpath(text).lstrip("/")
            if text in ("", "."):
                text = "**" if text == "" else "."
            self._rules.append((_compile(text), negated))
        self.has_exceptions = any(negated for _, negated in self._rules)

    def matches(self, path: str) -> bool:
        """Whether a relative path, or a folder above it, is matched."""
        matched = False
        for rule, negated in self._rules:
            if matched == negated and rule.match(path):
                matched = not negated
        return matched


def read_patterns(data: bytes) -> tuple[str, ...]:
    """The patterns of a `.dockerignore` file: comments and blank lines left out, cleaned."""
    patterns = []
    for raw in data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape").splitlines():
        if raw.startswith("#"):
            continue
        line = raw.strip()
        if not line:
            continue
        negated = line.startswith("!")
        if negated:
            line = line[1:].strip()
        if line:
            line = posixpath.normpath(line)
            if len(line) > 1 and line.startswith("/"):
                line = line.lstrip("/")
        patterns.append("!" + line if negated else line)
    return tuple(patterns)


def _compile(pattern: str) -> re.Pattern[str]:
    """One pattern as a regular expression that also matches everything below a match."""
    out = ""
    at = 0
    while at < len(pattern):
        char = pattern[at]
        at += 1
        if char == "*":
            if pattern[at : at + 1] == "*":
                while pattern[at : at + 1] == "*":
                    at += 1
                if pattern[at : at + 1] == "/":
                    at += 1
                    out += "(?:.*/)?"
                else:
                    out += ".*"
            else:
                out += "[^/]*"
        elif char == "?":
            out += "[^/]"
        elif char == "\\":
            if at >= len(pattern):
                raise InvalidInput(f'"{pattern}": syntax error in pattern')
            out += re.escape(pattern[at])
            at += 1
        elif char == "[":
            end = pattern.find("]", at + 1 if pattern[at : at + 1] != "^" else at + 2)
            if end < 0:
                raise InvalidInput(f'"{pattern}": syntax error in pattern')
            body = pattern[at:end].replace("[", r"\[")
            out += f"[{body}]"
            at = end + 1
        else:
            out += re.escape(char)
    try:
        return re.compile(f"{out}(?:/.*)?\\Z", re.DOTALL)
    except re.error as error:
        raise InvalidInput(f'"{pattern}": syntax error in pattern') from error

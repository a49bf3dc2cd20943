"""Patterns as moby matches them (`moby/patternmatcher`): `.dockerignore`, `--exclude`, sessions.

Not git's rules: patterns are anchored at the root, `**` spans folders, a match of a folder
covers what is below it, and the last matching pattern wins, `!` turning it around.
"""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Pattern:
    """One pattern: `negated` for `!`, `text` cleaned. Compiled when it is first used."""

    __slots__ = ("_match", "negated", "text")

    def __init__(self, text: str, negated: bool) -> None:
        self.text = text
        self.negated = negated
        self._match: Callable[[str], object] | None = None
        _check(text)

    def matches(self, path: str) -> bool:
        """Whether a relative path, or a folder above it, is matched; `!` does not count here."""
        if self._match is None:
            self._match = re.compile(expression(self.text), re.DOTALL).match
        return bool(self._match(path))


class PatternMatcher:
    """A list of patterns. Raises InvalidInput for one that is malformed."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self.patterns: list[Pattern] = []
        for written in patterns:
            text = written.strip()
            if not text:
                continue
            text = clean(text)
            negated = text.startswith("!")
            if negated:
                text = text[1:]
                if not text:
                    raise InvalidInput(
                        'illegal exclusion pattern: "!"', hint="a pattern must follow the !"
                    )
            self.patterns.append(Pattern(text, negated))
        self.has_exceptions = any(pattern.negated for pattern in self.patterns)
        self._match: Callable[[str], object] | None = None

    def matches(self, path: str) -> bool:
        """Whether the patterns take a relative path, itself or by a folder above it."""
        if self.has_exceptions:
            matched = False
            for pattern in self.patterns:
                # A pattern that would only say again what holds already is not looked at.
                if pattern.negated == matched and pattern.matches(path):
                    matched = not pattern.negated
            return matched
        if self._match is None:
            if not self.patterns:
                return False
            # Order does not matter without exceptions: all patterns are one expression.
            union = "|".join(f"(?:{expression(p.text)})" for p in self.patterns)
            self._match = re.compile(union, re.DOTALL).match
        return bool(self._match(path))


def clean(path: str) -> str:
    """The shortest spelling of a path, by its text alone (Go's `path.Clean`)."""
    path = posixpath.normpath(path)
    # POSIX lets two leading slashes mean something of their own; here they do not.
    return path[1:] if path.startswith("//") else path


def expression(pattern: str) -> str:
    """A pattern as a regular expression; it also matches everything below a match.

    `**` at the start without a slash takes any beginning of a name, at the end any rest, and
    elsewhere any folders or none, whether or not a slash follows it.
    """
    below = r"(?:/.*)?\Z"
    if pattern.startswith("**") and not _special(pattern[2:]):
        # `**/x` is x anywhere; `**x` whatever ends with x.
        rest = re.escape(pattern[2:])
        if pattern[2:3] == "/":
            return f"(?:.*/)?{rest[1:]}{below}"
        return f".*{rest}{below}"
    out: list[str] = []
    at = 0
    while at < len(pattern):
        char = pattern[at]
        at += 1
        if char == "*":
            if pattern.startswith("*", at):
                at += 1
                if pattern.startswith("/", at):
                    at += 1
                if at >= len(pattern):
                    out.append(".*")
                else:
                    out.append("(?:.*/)?")
            else:
                out.append("[^/]*")
        elif char == "?":
            out.append("[^/]")
        elif char == "[":
            end = _class_end(pattern, at)
            out.append(_class(pattern[at : end - 1]))
            at = end
        else:
            if char == "\\":
                char = pattern[at]
                at += 1
            out.append(re.escape(char))
    return _possessive(out) + below


def compile_glob(pattern: str) -> Callable[[str], bool]:
    """A matcher for one path component, with the syntax of Go's `filepath.Match`.

    Raises InvalidInput.
    """
    out = ""
    at = 0
    while at < len(pattern):
        char = pattern[at]
        at += 1
        if char == "*":
            out += "[^/]*"
        elif char == "?":
            out += "[^/]"
        elif char == "\\":
            if at >= len(pattern):
                raise InvalidInput(f'"{pattern}": syntax error in pattern')
            out += re.escape(pattern[at])
            at += 1
        elif char == "[":
            end = at + 1 if pattern[at : at + 1] in ("^", "]") else at
            while end < len(pattern) and pattern[end] != "]":
                end += 2 if pattern[end] == "\\" else 1
            if end >= len(pattern) or end == at:
                raise InvalidInput(f'"{pattern}": syntax error in pattern')
            body = pattern[at:end]
            negated = body.startswith("^")
            body = body[1:] if negated else body
            out += "[" + ("^" if negated else "") + body.replace("[", r"\[") + "]"
            at = end + 1
        else:
            out += re.escape(char)
    try:
        matcher = re.compile(out, re.DOTALL)
    except re.error as error:
        raise InvalidInput(f'"{pattern}": syntax error in pattern') from error
    return lambda name: matcher.fullmatch(name) is not None


def _possessive(pieces: list[str]) -> str:
    """Join, so that a star which another star of its folder follows is tried in one place only.

    What lies between two stars may as well match where it first can, for the later star takes
    the rest; without this, many stars would be tried in every combination.
    """
    out = ""
    at = 0
    while at < len(pieces):
        if pieces[at] != "[^/]*":
            out += pieces[at]
            at += 1
            continue
        end = at + 1
        while end < len(pieces) and _is_fixed(pieces[end]):
            end += 1
        if end < len(pieces) and pieces[end] == "[^/]*":
            out += "(?>[^/]*?" + "".join(pieces[at + 1 : end]) + ")"
        else:
            out += "".join(pieces[at:end])
        at = end
    return out


def _is_fixed(piece: str) -> bool:
    """Whether a piece takes exactly one character, and never a slash."""
    return piece == "[^/]" or (piece not in (".*", "(?:.*/)?", "/") and piece[0] != "[")


def _special(text: str) -> bool:
    return any(char in text for char in "*?[]\\")


def _check(pattern: str) -> None:
    """Refuse what Go's `filepath.Match` refuses."""
    at = 0
    while at < len(pattern):
        char = pattern[at]
        at += 1
        if char == "\\":
            if at >= len(pattern):
                raise _malformed(pattern)
            at += 1
        elif char == "[":
            at = _class_end(pattern, at)


def _class_end(pattern: str, at: int) -> int:
    """Where the class that was opened before `at` ends, behind its `]`. Raises InvalidInput."""
    if pattern.startswith("^", at):
        at += 1
    ranges = 0
    while True:
        if ranges and pattern.startswith("]", at):
            return at + 1
        low, at = _class_member(pattern, at)
        if pattern.startswith("-", at):
            high, at = _class_member(pattern, at + 1)
            if high < low:
                raise _malformed(pattern)
        ranges += 1


def _class_member(pattern: str, at: int) -> tuple[str, int]:
    if at >= len(pattern) or pattern[at] in "-]":
        raise _malformed(pattern)
    if pattern[at] == "\\":
        at += 1
    if at + 1 >= len(pattern):
        raise _malformed(pattern)
    return pattern[at], at + 1


def _class(body: str) -> str:
    """A class as a regular expression. One that is negated takes slashes too, as moby's does."""
    negated = body.startswith("^")
    out = ""
    at = int(negated)
    while at < len(body):
        char = body[at]
        if char == "-":
            out += char
        else:
            if char == "\\":
                at += 1
                char = body[at]
            out += re.escape(char)
        at += 1
    return f"[{'^' if negated else ''}{out}]"


def _malformed(pattern: str) -> InvalidInput:
    return InvalidInput(f'"{pattern}": syntax error in pattern')

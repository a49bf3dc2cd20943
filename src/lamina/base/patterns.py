"""Patterns with the rules of `moby/patternmatcher`: `.dockerignore`, `--exclude`, sessions.

The rules differ from git's: a pattern is anchored at the root, `**` matches across directories, a
match of a directory includes everything below it, and the last pattern that matches wins (`!`
negates it).
"""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput
from lamina.base.glob_matcher import ANYTHING, FOLDERS, NAME, GlobMatcher

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


_NEVER = r"\Z."  # matches no text


class Pattern:
    """One pattern: `negated` for `!`, `text` cleaned. Compiled when it is first used."""

    __slots__ = ("_matcher", "negated", "text")

    def __init__(self, text: str, negated: bool) -> None:
        self.text = text
        self.negated = negated
        self._matcher: GlobMatcher | None = None
        _check(text)

    @property
    def matcher(self) -> GlobMatcher:
        if self._matcher is None:
            self._matcher = GlobMatcher(_pieces(self.text), below=True)
        return self._matcher

    def matches(self, path: str) -> bool:
        """Whether a relative path, or a parent of it, matches. `!` is ignored here."""
        return self.matcher(path)


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
        self._union: Callable[[str], object] | None = None  # of those that are linear
        self._others: list[Pattern] = []

    def matches(self, path: str) -> bool:
        """Whether the patterns select a relative path, itself or by a parent."""
        if self.has_exceptions:
            matched = False
            for pattern in self.patterns:
                # Skip patterns that would not change the result.
                if pattern.negated == matched and pattern.matches(path):
                    matched = not pattern.negated
            return matched
        if self._union is None:
            if not self.patterns:
                return False
            # Order does not matter without exceptions: all patterns are one expression.
            linear = [p.matcher.expression for p in self.patterns if p.matcher.is_linear]
            self._others = [p for p in self.patterns if not p.matcher.is_linear]
            self._union = re.compile(
                "|".join(f"(?:{e})" for e in linear) or _NEVER, re.DOTALL
            ).match
        return bool(self._union(path)) or any(p.matches(path) for p in self._others)


def clean(path: str) -> str:
    """The shortest spelling of a path, without access to the file system (Go's `path.Clean`)."""
    path = posixpath.normpath(path)
    # In POSIX two leading slashes may have another meaning; not here.
    return path[1:] if path.startswith("//") else path


def _pieces(pattern: str) -> list[str]:
    """A pattern as the pieces of a `GlobMatcher`.

    `**` at the start without a slash matches any beginning of a name, at the end any rest, and
    elsewhere any number of directories, whether or not a slash follows it.
    """
    if pattern.startswith("**") and not _special(pattern[2:]):
        # `**/x` is x in any directory; `**x` any name that ends with x.
        if pattern[2:3] == "/":
            return [FOLDERS, *map(re.escape, pattern[3:])]
        return [ANYTHING, *map(re.escape, pattern[2:])]
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
                    out.append(ANYTHING)
                else:
                    out.append(FOLDERS)
            else:
                out.append(NAME)
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
    return out


def compile_glob(pattern: str) -> Callable[[str], bool]:
    """A matcher for one path component, with the syntax of Go's `filepath.Match`.

    Raises InvalidInput.
    """
    out: list[str] = []
    at = 0
    while at < len(pattern):
        char = pattern[at]
        at += 1
        if char == "*":
            out.append(NAME)
        elif char == "?":
            out.append("[^/]")
        elif char == "\\":
            if at >= len(pattern):
                raise InvalidInput(f'"{pattern}": syntax error in pattern')
            out.append(re.escape(pattern[at]))
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
            out.append("[" + ("^" if negated else "") + body.replace("[", r"\[") + "]")
            at = end + 1
        else:
            out.append(re.escape(char))
    try:
        re.compile("".join(out))
    except re.error as error:
        raise InvalidInput(f'"{pattern}": syntax error in pattern') from error
    return GlobMatcher(out, below=False)


def _special(text: str) -> bool:
    return any(char in text for char in "*?[]\\")


def _check(pattern: str) -> None:
    """Raise InvalidInput for patterns that Go's `filepath.Match` rejects."""
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
    """The position after the `]` of the class that was opened before `at`. Raises InvalidInput."""
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
    """A class as a regular expression. A negated one matches slashes too (moby)."""
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

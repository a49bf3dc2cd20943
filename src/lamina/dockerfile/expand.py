"""Variable expansion in Dockerfile words, with the shell's modifiers.

`$v ${v} ${v:-w} ${v-w} ${v:+w} ${v+w} ${v:?w} ${v?w} ${v#p} ${v##p} ${v%p} ${v%%p} ${v/p/r}
${v//p/r}`; single quotes keep everything, double quotes expand, the escape character keeps the
next one.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping

_SPECIAL = frozenset("@*#?-$!0123456789")
_MAX_DEPTH = 40


class Expander:
    """Expands against fixed variables. `unset` collects names that had no value."""

    def __init__(self, variables: Mapping[str, str], escape: str = "\\") -> None:
        self._variables = variables
        self._escape = escape
        self.unset: set[str] = set()

    def word(self, text: str) -> str:
        """Expand one word and take its quotes away. Raises InvalidInput."""
        if not any(char in text for char in ("$", "'", '"', self._escape)):
            return text
        return _Scanner(text, self, raw=False).run("")

    def words(self, text: str) -> list[str]:
        """Expand and split at white space outside quotes (EXPOSE, and the like)."""
        return [self.word(part) for part in split_words(text, self._escape)]

    def keep_quotes(self, text: str) -> str:
        """Expand, but leave quotes and escapes as they are."""
        return _Scanner(text, self, raw=True).run("")

    def get(self, name: str) -> str | None:
        value = self._variables.get(name)
        if value is None:
            self.unset.add(name)
        return value


class _Scanner:
    def __init__(self, text: str, expander: Expander, *, raw: bool, depth: int = 0) -> None:
        if depth > _MAX_DEPTH:
            raise InvalidInput("variables are nested too deep")
        self._text = text
        self._at = 0
        self._expander = expander
        self._raw = raw
        self._depth = depth

    def run(self, stop: str) -> str:
        out: list[str] = []
        while self._at < len(self._text):
            char = self._text[self._at]
            if stop and char in stop:
                return "".join(out)
            self._at += 1
            if char == "'":
                out.append(self._single())
            elif char == '"':
                out.append(self._double())
            elif char == "$":
                out.append(self._variable())
            elif char == self._expander._escape:
                if self._at >= len(self._text):
                    out.append(char if self._raw else "")
                    break
                out.append((char if self._raw else "") + self._text[self._at])
                self._at += 1
            else:
                out.append(char)
        if stop:
            raise InvalidInput(f"{self._text}: a ${{ is not closed")
        return "".join(out)

    def _single(self) -> str:
        end = self._text.find("'", self._at)
        if end < 0:
            raise InvalidInput(f"{self._text}: unexpected end of statement while looking for '")
        inside = self._text[self._at : end]
        self._at = end + 1
        return f"'{inside}'" if self._raw else inside

    def _double(self) -> str:
        out = ['"'] if self._raw else []
        while self._at < len(self._text):
            char = self._text[self._at]
            self._at += 1
            if char == '"':
                if self._raw:
                    out.append('"')
                return "".join(out)
            if char == "$":
                out.append(self._variable())
            elif char == self._expander._escape and self._at < len(self._text):
                following = self._text[self._at]
                if self._raw or following not in ('"', "$", self._expander._escape):
                    out.append(char)
                out.append(following)
                self._at += 1
            else:
                out.append(char)
        raise InvalidInput(f'{self._text}: unexpected end of statement while looking for "')

    def _variable(self) -> str:
        text = self._text
        if self._at >= len(text):
            return "$"
        if text[self._at] != "{":
            name = self._name()
            if not name:
                return "$"
            return self._expander.get(name) or ""
        self._at += 1
        name = self._name()
        if not name:
            raise InvalidInput(f"{text}: bad substitution")
        if self._at >= len(text):
            raise InvalidInput(f"{text}: a ${{ is not closed")
        char = text[self._at]
        self._at += 1
        if char == "}":
            return self._expander.get(name) or ""
        if char == ":":
            if self._at >= len(text) or text[self._at] not in "-+?":
                raise InvalidInput(
                    f"{text}: unsupported modifier ({text[self._at - 1 : self._at + 1]}) "
                    "in substitution"
                )
            operator = ":" + text[self._at]
            self._at += 1
            return self._default(name, operator)
        if char in "-+?":
            return self._default(name, char)
        if char in "#%":
            doubled = text[self._at : self._at + 1] == char
            self._at += doubled
            pattern = self._argument("}")
            return _strip(self._expander.get(name) or "", pattern, char, greedy=doubled)
        if char == "/":
            everywhere = text[self._at : self._at + 1] == "/"
            self._at += everywhere
            pattern = self._argument("/}")
            replacement = ""
            if text[self._at - 1] == "/":
                replacement = self._argument("}")
            expression = re.compile(_glob(pattern, greedy=True), re.DOTALL)
            value = self._expander.get(name) or ""
            return expression.sub(lambda _: replacement, value, count=0 if everywhere else 1)
        raise InvalidInput(f"{text}: unsupported modifier ({char}) in substitution")

    def _default(self, name: str, operator: str) -> str:
        word = self._argument("}")
        value = self._expander._variables.get(name)
        present = value is not None and (bool(value) or not operator.startswith(":"))
        match operator[-1]:
            case "-":
                return value if present and value is not None else word
            case "+":
                return word if present else ""
            case _:
                if not present:
                    raise InvalidInput(f"{name}: {word or 'is not allowed to be unset'}")
                return value or ""

    def _argument(self, stop: str) -> str:
        """The expanded word up to one of `stop`, which is taken too."""
        inner = _Scanner(self._text, self._expander, raw=False, depth=self._depth + 1)
        inner._at = self._at
        value = inner.run(stop)
        self._at = inner._at + 1
        return value

    def _name(self) -> str:
        text, start = self._text, self._at
        if start < len(text) and text[start] in _SPECIAL:
            self._at += 1
            return text[start]
        while self._at < len(text) and (text[self._at].isalnum() or text[self._at] == "_"):
            self._at += 1
        return text[start : self._at]


def split_words(text: str, escape: str = "\\") -> list[str]:
    """Split at white space outside quotes; quotes and escapes stay."""
    words: list[str] = []
    current = ""
    quote = ""
    depth = 0
    at = 0
    while at < len(text):
        char = text[at]
        if char == escape and quote != "'" and at + 1 < len(text):
            current += text[at : at + 2]
            at += 2
            continue
        if quote:
            quote = "" if char == quote else quote
        elif char in "\"'":
            quote = char
        elif text.startswith("${", at):
            depth += 1
        elif char == "}" and depth:
            depth -= 1
        elif char.isspace() and not depth:
            if current:
                words.append(current)
            current = ""
            at += 1
            continue
        current += char
        at += 1
    if current:
        words.append(current)
    return words


def _strip(value: str, pattern: str, side: str, *, greedy: bool) -> str:
    expression = _glob(pattern, greedy=greedy)
    if side == "#":
        match = re.match(expression, value, re.DOTALL)
        return value[match.end() :] if match else value
    starts = range(len(value) + 1) if greedy else range(len(value), -1, -1)
    whole = re.compile(_glob(pattern, greedy=True) + r"\Z", re.DOTALL)
    for start in starts:
        if whole.match(value, start):
            return value[:start]
    return value


def _glob(pattern: str, *, greedy: bool) -> str:
    out = ""
    escaped = False
    for char in pattern:
        if escaped:
            out += re.escape(char)
            escaped = False
        elif char == "\\":
            escaped = True
        elif char == "*":
            out += ".*" if greedy else ".*?"
        elif char == "?":
            out += "."
        else:
            out += re.escape(char)
    return out

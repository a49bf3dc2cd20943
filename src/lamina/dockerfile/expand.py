"""Variable expansion in Dockerfile words, with the shell's modifiers.

`$v ${v} ${v:-w} ${v-w} ${v:+w} ${v+w} ${v:?w} ${v?w} ${v#p} ${v##p} ${v%p} ${v%%p} ${v/p/r}
${v//p/r}`; single quotes keep everything, double quotes expand, the escape character keeps the
next one. The rules, and where they differ from a shell's, are those of Docker's reference
("Environment replacement").
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping

_SPECIAL = frozenset("@*#?-$!0")
_BLANK = frozenset("\t\r ")
_MAX_DEPTH = 64

MAX_TEXT = 16 << 20
"""The maximum number of characters of an expanded text: no message of BuildKit's API is longer. (An
environment variable of a command, by comparison, may have 128 KiB.)"""

MAX_GROWTH = 64 << 20
"""The maximum number of characters by which all texts of a Dockerfile may grow: lines can double
the values of others."""


class ExpansionLimit:
    """Limits how much the texts of one Dockerfile grow."""

    def __init__(self) -> None:
        self._left = MAX_GROWTH

    def count(self, before: str, after: str) -> None:
        """Count characters. Raises InvalidInput."""
        self._left -= max(0, len(after) - len(before))
        if self._left < 0:
            raise too_long("all texts with variables", MAX_GROWTH)


def too_long(what: str, limit: int) -> InvalidInput:
    """The error for a `what` with more than `limit` characters."""
    return InvalidInput(
        f"{what} expand to more than {limit >> 20} MiB",
        hint="variables that contain each other double in size on every line",
    )


class Expander:
    """Expands words with fixed variables. `used` and `unset` collect the names that words refer
    to.

    Args:
        variables: names and values.
        escape: the escape character.
        raw_quotes: leave quotes where they are.
        raw_escapes: leave escape characters where they are.
        plain_quotes: quotes mean nothing (the body of a heredoc).
        keep_unset: leave references to unknown variables as they are written.
        limit: a limit shared with other expanders. Each text has its own limit, too.
    """

    def __init__(
        self,
        variables: Mapping[str, str],
        escape: str = "\\",
        *,
        raw_quotes: bool = False,
        raw_escapes: bool = False,
        plain_quotes: bool = False,
        keep_unset: bool = False,
        limit: ExpansionLimit | None = None,
    ) -> None:
        self.variables = variables
        self.escape = escape
        self.raw_quotes = raw_quotes
        self.raw_escapes = raw_escapes
        self.plain_quotes = plain_quotes
        self.keep_unset = keep_unset
        self._limit = limit
        self.used: set[str] = set()
        self.unset: set[str] = set()
        self._special = ("$", "<", "'", '"', escape)

    def word(self, text: str) -> str:
        """Expand one word; white space in it stays. Raises InvalidInput."""
        if not any(char in text for char in self._special):
            return text
        return self._scan(text, split=False)[0]

    def words(self, text: str) -> list[str]:
        """Expand, then split at white space that is not quoted. Raises InvalidInput."""
        return self._scan(text, split=True)[1]

    def _scan(self, text: str, *, split: bool) -> tuple[str, list[str]]:
        try:
            found = _Scanner(text, self, split=split).run("", self.raw_escapes)
            if self._limit is not None:
                self._limit.count(text, found[0])
        except InvalidInput as error:
            reason = f'failed to process "{text}": {error.reason}'
            raise InvalidInput(reason, hint=error.hint) from None
        return found

    def get(self, name: str) -> str | None:
        value = self.variables.get(name)
        (self.unset if value is None else self.used).add(name)
        return value


class _Scanner:
    """One pass over a text. Errors are unlocated InvalidInput.

    `split`: whether to collect the words of the text, too.
    """

    def __init__(self, text: str, rules: Expander, *, split: bool) -> None:
        self._text = text
        self._split = split
        self._left = MAX_TEXT  # characters that variables may still bring
        self._end = len(text)
        self._at = 0
        self._rules = rules
        self._raw_escapes = rules.raw_escapes
        self._depth = 0

    def run(self, stop: str, raw_escapes: bool) -> tuple[str, list[str]]:
        """The expanded text up to `stop` (taken too) or the end, whole and as words."""
        if self._depth > _MAX_DEPTH:
            raise InvalidInput("variables are nested too deep")
        self._depth += 1
        outer, self._raw_escapes = self._raw_escapes, raw_escapes
        try:
            return self._run(stop)
        finally:
            self._raw_escapes = outer
            self._depth -= 1

    def _run(self, stop: str) -> tuple[str, list[str]]:
        text, rules = self._text, self._rules
        out: list[str] = []
        words: list[str] = []
        word: list[str] = []

        def split(piece: str) -> None:
            if not self._split:
                return
            for char in piece:
                if not char.isspace():
                    word.append(char)
                elif word:
                    words.append("".join(word))
                    word.clear()

        while self._at < self._end:
            char = text[self._at]
            self._at += 1
            if char == stop:
                break
            if char == "$":
                piece = self._bounded(self._variable())
                split(piece)
            elif char == "<":
                piece = self._angle()
                word.append(piece)
            elif char == "'" and not rules.plain_quotes:
                piece = self._single()
                word.append(piece)
            elif char == '"' and not rules.plain_quotes:
                piece = self._double()
                word.append(piece)
            elif char == rules.escape:
                piece = char if self._raw_escapes else ""
                if self._at < self._end:
                    piece += text[self._at]
                    self._at += 1
                word.append(piece)
            else:
                piece = char
                split(char)
            out.append(piece)
        else:
            if stop:
                raise InvalidInput(f"syntax error: missing '{stop}'")
        if "".join(word):
            words.append("".join(word))
        return "".join(out), words

    def _angle(self) -> str:
        """`<`, or the start of a heredoc word with the blanks before its delimiter."""
        if self._text[self._at : self._at + 1] != "<":
            return "<"
        start = self._at
        self._at += 1
        while self._at < self._end and self._text[self._at] in _BLANK:
            self._at += 1
        return "<" + self._text[start : self._at]

    def _single(self) -> str:
        end = self._text.find("'", self._at)
        if end < 0:
            raise InvalidInput(
                "unexpected end of statement while looking for matching single-quote"
            )
        inside = self._text[self._at : end]
        self._at = end + 1
        return f"'{inside}'" if self._rules.raw_quotes else inside

    def _double(self) -> str:
        quote = '"' if self._rules.raw_quotes else ""
        escape = self._rules.escape
        out = [quote]
        while self._at < self._end:
            char = self._text[self._at]
            self._at += 1
            if char == '"':
                out.append(quote)
                return "".join(out)
            if char == "$":
                out.append(self._bounded(self._variable()))
                continue
            if char == escape:
                if self._raw_escapes:
                    out.append(char)
                if self._at >= self._end:
                    break
                # Only these can be escaped here; before other characters it is literal.
                if self._text[self._at] in ('"', "$", escape):
                    char = self._text[self._at]
                    self._at += 1
            out.append(char)
        raise InvalidInput("unexpected end of statement while looking for matching double-quote")

    def _bounded(self, piece: str) -> str:
        self._left -= len(piece)
        if self._left < 0:
            raise too_long("variables", MAX_TEXT)
        return piece

    def _variable(self) -> str:
        text, rules = self._text, self._rules
        if text[self._at : self._at + 1] != "{":
            name = self._name()
            if not name:
                return "$"
            value = rules.get(name)
            if value is None:
                return "$" + name if rules.keep_unset else ""
            return value
        self._at += 1
        following = text[self._at : self._at + 1]
        if not following:
            raise InvalidInput("syntax error: missing '}'")
        if following in "{}:":
            raise InvalidInput("syntax error: bad substitution")
        name = self._name()
        modifier = text[self._at : self._at + 1]
        if not modifier:
            raise InvalidInput("syntax error: missing '}'")
        self._at += 1
        if modifier == "}":
            value = rules.get(name)
            if value is None:
                return "${" + name + "}" if rules.keep_unset else ""
            return value
        if modifier == "/":
            return self._replaced(name)
        strict = modifier == ":"
        if strict:
            modifier += text[self._at : self._at + 1]
            self._at += 1
        if modifier not in ("+", "-", "?", "#", "%", ":+", ":-", ":?"):
            raise InvalidInput(f"unsupported modifier ({modifier}) in substitution")
        kind = modifier[-1]
        argument, _ = self.run("}", kind in "#%")
        value = rules.get(name)
        if value is None and rules.keep_unset:
            return "${" + name + modifier + argument + "}"
        absent = value is None or (strict and not value)
        if kind == "-":
            return argument if absent else value or ""
        if kind == "+":
            return "" if absent else argument
        if kind == "?":
            if absent:
                state = "empty" if value is not None else "unset"
                raise InvalidInput(f"{name}: {argument or f'is not allowed to be {state}'}")
            return value or ""
        from lamina.dockerfile.glob import strip_prefix, strip_suffix

        longest = argument.startswith(kind)
        strip = strip_prefix if kind == "#" else strip_suffix
        return strip(value or "", argument[longest:], longest=longest)

    def _replaced(self, name: str) -> str:
        rules = self._rules
        everywhere = self._text[self._at : self._at + 1] == "/"
        self._at += everywhere
        pattern, _ = self.run("/", True)
        replacement, _ = self.run("}", True)
        value = rules.get(name)
        if value is None and rules.keep_unset:
            return "${" + f"{name}/{pattern}/{replacement}" + "}"
        from lamina.dockerfile.glob import substitute

        return substitute(value or "", pattern, replacement, everywhere=everywhere)

    def _name(self) -> str:
        """A variable's name, a number, or one special character; "" if there is none."""
        text, start = self._text, self._at
        if start >= self._end:
            return ""
        first = text[start]
        if first.isdecimal():
            while self._at < self._end and text[self._at].isdecimal():
                self._at += 1
        elif first in _SPECIAL:
            self._at += 1
        else:
            while self._at < self._end and (
                text[self._at].isalpha() or text[self._at].isdecimal() or text[self._at] == "_"
            ):
                self._at += 1
        return text[start : self._at]

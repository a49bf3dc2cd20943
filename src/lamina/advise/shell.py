"""Reads shell command lines: simple commands with the positions of their words.

It knows as much of POSIX shell as is needed to recognise programs and to cut words or whole
commands out of a text. A text that it does not understand gives None, and no advice.
"""

from __future__ import annotations

import re

from lamina.base.named_tuple import NamedTuple

_OPERATOR = re.compile(r"&&|\|\||;;|\|&|[|;&()\n]")
_REDIRECT = re.compile(r"\d*(?:&>>?|<<<|>>|>\||>&|<&|<>|[<>])")
_OPENING = frozenset(("if", "while", "until", "{"))
_CLOSING = frozenset(("fi", "done", "}"))
_BETWEEN = frozenset(("then", "do", "else", "elif", "!"))
_HEADS = frozenset(("for", "select", "function"))
_BLANK = " \t\r\v\f"


class Word(NamedTuple):
    """`value` is the word without quotes and escapes; variables in it are as written."""

    start: int
    end: int
    text: str
    value: str


class ShellCommand(NamedTuple):
    """A simple command.

    `before` and `after` are the operators around it, "" at the ends of the text; `left` is where
    the token before the first of them ends, `right` where the token after the second begins.
    A command that is `nested` in a compound command cannot be cut out. `targets` are the files of
    redirections.
    """

    words: tuple[Word, ...]
    targets: tuple[Word, ...]
    start: int
    end: int
    before: str
    after: str
    left: int
    right: int
    nested: bool


class _Token(NamedTuple):
    start: int
    end: int
    operator: str
    word: Word | None
    redirects: bool = False


def parse_script(text: str) -> tuple[ShellCommand, ...] | None:
    """The simple commands of a text, in order; None if it cannot be read."""
    tokens = _tokens(text)
    if tokens is None or any(token.word and token.word.text == "case" for token in tokens):
        return None  # the patterns of `case` have unbalanced brackets
    commands: list[ShellCommand] = []
    depth = 0
    first = 0
    for at in range(len(tokens) + 1):
        operator = tokens[at].operator if at < len(tokens) else "end"
        if not operator:
            continue
        group = tokens[first:at]
        depth, found = _command(tokens, first, at, depth, len(text)) if group else (depth, None)
        if found is not None:
            commands.append(found)
        depth += {"(": 1, ")": -1}.get(operator, 0)
        if depth < 0:
            return None
        first = at + 1
    return tuple(commands) if depth == 0 else None


def _command(
    tokens: list[_Token], first: int, end: int, depth: int, length: int
) -> tuple[int, ShellCommand | None]:
    """The command in `tokens[first:end]` without reserved words, and the depth behind it."""
    words: list[Word] = []
    targets: list[Word] = []
    at = first
    nested = False
    while at < end and (word := tokens[at].word) is not None:
        if word.text in _HEADS:
            return depth + 1, None
        if word.text in _OPENING:
            depth += 1
        elif word.text in _CLOSING:
            depth -= 1
        elif word.text not in _BETWEEN:
            break
        nested = True
        at += 1
    for token in tokens[at:end]:
        if token.word is not None:
            (targets if token.redirects else words).append(token.word)
    if not words:
        return depth, None
    start = words[0].start
    before = tokens[first - 1].operator if first else ""
    after = tokens[end].operator if end < len(tokens) else ""
    return depth, ShellCommand(
        tuple(words),
        tuple(targets),
        start,
        tokens[end - 1].end,
        before,
        after,
        tokens[first - 2].end if first > 1 else start,
        tokens[end + 1].start if end + 1 < len(tokens) else length,
        nested or depth > 0,
    )


def _tokens(text: str) -> list[_Token] | None:
    tokens: list[_Token] = []
    at, end = 0, len(text)
    redirects = False
    while at < end:
        char = text[at]
        if char in _BLANK:
            at += 1
        elif char == "\\" and text[at + 1 : at + 2] in ("\n", ""):
            at += 2
        elif text.startswith("\\\r\n", at):
            at += 3
        elif char == "#":
            at = text.find("\n", at)
            if at < 0:
                break
        elif match := _REDIRECT.match(text, at):
            if text.startswith("<<", match.end() - 1):
                return None  # a heredoc of the shell
            at = match.end()
            redirects = True
        elif match := _OPERATOR.match(text, at):
            at = match.end()
            if match[0] != "\n" or (tokens and not tokens[-1].operator):
                tokens.append(_Token(match.start(), at, match[0], None))
            redirects = False
        else:
            word = _word(text, at)
            if word is None:
                return None
            tokens.append(_Token(word.start, word.end, "", word, redirects))
            redirects = False
            at = word.end
    if tokens and tokens[-1].operator == "\n":
        tokens.pop()
    return tokens


def _word(text: str, start: int) -> Word | None:
    value: list[str] = []
    at, end = start, len(text)
    while at < end:
        char = text[at]
        if char in _BLANK or char in "\n|;&()<>":
            break
        if char == "'":
            close = text.find("'", at + 1)
            if close < 0:
                return None
            value.append(text[at + 1 : close])
            at = close + 1
        elif char == '"':
            close = _closing_quote(text, at + 1)
            if close < 0:
                return None
            value.append(re.sub(r'\\(["\\$`\n])', r"\1", text[at + 1 : close]))
            at = close + 1
        elif char == "\\":
            if text[at + 1 : at + 2] != "\n":
                value.append(text[at + 1 : at + 2])
            at += 2
        else:
            close = _substitution(text, at)
            if close < 0:
                return None
            value.append(text[at:close])
            at = close
    return Word(start, min(at, end), text[start:at], "".join(value))


def _closing_quote(text: str, at: int) -> int:
    while at < len(text):
        if text[at] == '"':
            return at
        if text[at] == "\\":
            at += 2
            continue
        at = _substitution(text, at)
        if at < 0:
            return -1
    return -1


def _substitution(text: str, at: int) -> int:
    """The end of the `$(…)`, `${…}` or backquoted command that begins here, else the next
    character; -1 if it has no end."""
    if text[at] == "`":
        close = text.find("`", at + 1)
        return close + 1 if close >= 0 else -1
    if text[at] != "$" or text[at + 1 : at + 2] not in ("(", "{"):
        return at + 1
    opening = text[at + 1]
    closing = {"(": ")", "{": "}"}[opening]
    depth = 0
    at += 1
    while at < len(text):
        char = text[at]
        if char == "\\":
            at += 2
            continue
        if char == "'":
            at = text.find("'", at + 1)
            if at < 0:
                return -1
        elif char == opening:
            depth += 1
        elif char == closing:
            depth -= 1
            if not depth:
                return at + 1
        at += 1
    return -1

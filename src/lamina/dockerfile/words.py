"""Splits an instruction's text: keyword, flags, words, JSON arrays, heredoc markers."""

from __future__ import annotations

import re

from lamina.base.errors import InvalidInput
from lamina.base.named_tuple import NamedTuple
from lamina.dockerfile.expand import Expander

BLANKS = re.compile(r"[\t\v\f\r ]+")
_HEREDOC = re.compile(r"(\d*)<<(-?)\s*+([^<]*)")


class Marker(NamedTuple):
    """`3<<-NAME`: a heredoc's beginning. It is expanded unless any of its name is quoted."""

    name: str
    expand: bool
    chomp: bool


def split_line(line: str, escape: str) -> tuple[str, tuple[str, ...], str]:
    """(keyword as written, flags, the rest) of one joined line."""
    parts = BLANKS.split(line.strip(), maxsplit=1)
    if len(parts) < 2:
        return parts[0], (), ""
    flags, rest = _take_flags(parts[1], escape)
    return parts[0], flags, rest.strip()


def _take_flags(text: str, escape: str) -> tuple[tuple[str, ...], str]:
    """Leading `--name[=value]` words, without their quotes and escapes. `--` ends them."""
    flags: list[str] = []
    at, end = 0, len(text)
    while True:
        while at < end and text[at].isspace():
            at += 1
        if not text.startswith("--", at):
            return tuple(flags), text[at:]
        word: list[str] = []
        quote = ""
        while at < end:
            char = text[at]
            if quote:
                if char == quote:
                    quote = ""
                    at += 1
                    continue
            elif char.isspace():
                break
            elif char in "\"'":
                quote = char
                at += 1
                continue
            if char == escape:
                at += 1
                if at >= end:
                    break
                char = text[at]
            word.append(char)
            at += 1
        flag = "".join(word)
        if flag == "--":
            return tuple(flags), text[at:]
        flags.append(flag)


def split_words(text: str, escape: str) -> list[str]:
    """Split at white space outside quotes; quotes and escapes stay for the expansion."""
    words: list[str] = []
    word: list[str] = []
    quote = ""
    at, end = 0, len(text)
    while at < end:
        char = text[at]
        at += 1
        if not quote and char.isspace():
            if word:
                words.append("".join(word))
                word.clear()
            continue
        if quote:
            if char == quote:
                quote = ""
        elif char in "\"'":
            quote = char
        if char == escape and quote != "'":
            if at >= end:
                break
            char += text[at]
            at += 1
        word.append(char)
    if word:
        words.append("".join(word))
    return words


def json_words(text: str) -> tuple[str, ...] | None:
    """A JSON array of strings; None if the text is no array. Raises InvalidInput.

    An array of anything else is refused: it can only be a mistake.
    """
    if not text.lstrip().startswith("["):
        return None
    import json

    try:
        words = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not all(isinstance(word, str) for word in words):
        raise InvalidInput(
            "when using JSON array syntax, arrays must be comprised of strings only",
            hint="put every element in double quotes",
        )
    return tuple(words)


def markers(line: str) -> list[Marker]:
    """All heredocs that a line begins, in order."""
    if "<<" not in line:
        return []
    rules = Expander({}, raw_quotes=True, raw_escapes=True, keep_unset=True)
    try:
        words = rules.words(line)
    except InvalidInput:
        # A shell's syntax may look unbalanced here; then there are no heredocs.
        return []
    return [found for found in map(marker, words) if found is not None]


def marker(word: str) -> Marker | None:
    """The heredoc that a word begins, or None."""
    match = _HEREDOC.fullmatch(word)
    if match is None or not match[3]:
        return None
    try:
        names = Expander({}, keep_unset=True).words(match[3])
        written = " ".join(Expander({}, keep_unset=True, raw_quotes=True).words(match[3]))
    except InvalidInput:
        return None
    if len(names) != 1:
        return None
    name = names[0]
    return Marker(name, _quotes(name) == _quotes(written), match[2] == "-")


def _quotes(text: str) -> int:
    return text.count("'") + text.count('"')


def chomp(text: str) -> str:
    """The text without tabs at the beginning of lines (`<<-`)."""
    return re.sub(r"(?m)^\t+", "", text)

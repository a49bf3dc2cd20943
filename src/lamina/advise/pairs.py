"""Removes one name from an ARG or ENV instruction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.dockerfile import instruction as ast

if TYPE_CHECKING:
    from lamina.advise.advice import Edit
    from lamina.advise.source import SourceText


def names(one: ast.Instruction) -> list[str]:
    """The names that an ARG or ENV defines, in order; nothing for other instructions."""
    match one:
        case ast.Arg():
            return [name for name, _ in one.args]
        case ast.Env():
            return [pair.key for pair in one.pairs]
    return []


def remove_name(source: SourceText, one: ast.Instruction, name: str) -> Edit | None:
    """Remove a name with its value: the instruction, if it has no other one."""
    defined = names(one)
    if all(other == name for other in defined):
        return source.remove(one.node)
    rest = source.rest(one.node)
    if rest is None:
        return None
    words = word_ranges(rest.text, source.document.escape)
    if len(words) != len(defined) or defined.count(name) != 1:
        return None
    at = defined.index(name)
    if at:
        return rest.removal(words[at - 1][1], words[at][1])
    return rest.removal(words[0][0], words[1][0])


def word_ranges(text: str, escape: str) -> list[tuple[int, int]]:
    """The ranges of the words of `words.split_words`."""
    ranges: list[tuple[int, int]] = []
    start = -1
    quote = ""
    at, end = 0, len(text)
    while at < end:
        char = text[at]
        if not quote and char.isspace():
            if start >= 0:
                ranges.append((start, at))
                start = -1
            at += 1
            continue
        if start < 0:
            start = at
        if quote:
            quote = "" if char == quote else quote
        elif char in "\"'":
            quote = char
        at += 2 if char == escape and quote != "'" else 1
    if start >= 0:
        ranges.append((start, end))
    return ranges

"""The text of a Dockerfile with the positions of instructions, for edits that keep its layout."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lamina.advise.advice import Edit
from lamina.base.named_tuple import NamedTuple
from lamina.dockerfile.lexer import parse_document
from lamina.dockerfile.words import BLANKS, json_words, markers

if TYPE_CHECKING:
    from lamina.dockerfile.lexer import Node

_LONGEST_LINE = 100
"""Characters up to which flags are inserted without a new line."""
_INDENT = "    "


class Fragment(NamedTuple):
    """A piece of text and, for each character and its end, the offset in the file."""

    text: str
    offsets: tuple[int, ...]

    def cut(self, start: int, end: int) -> Fragment:
        return Fragment(self.text[start:end], self.offsets[start : end + 1])

    def source(self, start: int, end: int) -> tuple[int, int]:
        """The range in the file of a range that is not empty."""
        return self.offsets[start], self.offsets[end - 1] + 1

    def removal(self, start: int, end: int) -> Edit:
        """Remove a range that is not empty."""
        return Edit(*self.source(start, end), "")


class SourceText:
    """A parsed Dockerfile and where its instructions are. Raises InvalidInput, located."""

    def __init__(self, text: str, filename: str) -> None:
        self.text = text
        self.document = parse_document(text, filename)
        mark = re.escape(self.document.escape)
        self._continued = re.compile(rf"(?:(?<=[^{mark}])|\A){mark}[ \t]*\Z")
        bom = len(text) - len(text.removeprefix("\ufeff"))
        self._starts = [bom, *(match.end() for match in re.finditer("\n", text))]
        self.newline = "\r\n" if "\r\n" in text else "\n"

    def line_start(self, line: int) -> int:
        """The offset of a line (1-based), or of the end of the text."""
        return self._starts[line - 1] if line <= len(self._starts) else len(self.text)

    def line(self, line: int) -> str:
        """A line without its line feed."""
        return self.text[self.line_start(line) : self.line_start(line + 1)].removesuffix("\n")

    def header(self, node: Node) -> Fragment | None:
        """The lines of an instruction as one, without its heredocs; None if it is not clear how
        they belong together."""
        pieces: list[str] = []
        offsets: list[int] = []
        number = node.location.start
        while number <= node.location.end:
            raw = self.line(number)
            line = raw.rstrip("\r")
            offset = self.line_start(number)
            if not pieces:
                stripped = line.lstrip()
            elif line.lstrip().startswith("#") or not line.strip():
                number += 1
                continue
            else:
                stripped = line
            offset += len(line) - len(stripped)
            ending = self._continued.search(stripped)
            piece = stripped[: ending.start()] if ending else stripped
            pieces.append(piece)
            offsets += range(offset, offset + len(piece))
            number += 1
            if ending is None:
                break
        text = "".join(pieces)
        if text != node.original or not text:
            return None
        return Fragment(text, (*offsets, offsets[-1] + 1))

    def header_end(self, node: Node) -> int:
        """The line behind the lines of `header`."""
        if not node.heredocs:
            return node.location.end + 1
        bodies = sum(heredoc.content.count("\n") + 1 for heredoc in node.heredocs)
        return node.location.end + 1 - bodies

    def heredoc(self, node: Node) -> Fragment | None:
        """The content of the first heredoc."""
        if not node.heredocs:
            return None
        start = self.line_start(self.header_end(node))
        content = node.heredocs[0].content
        if self.text[start : start + len(content)] != content:
            return None
        return Fragment(content, tuple(range(start, start + len(content) + 1)))

    def rest(self, node: Node) -> Fragment | None:
        """The text after the flags of an instruction."""
        header = self.header(node)
        if header is None or not node.rest:
            return None
        end = len(header.text.rstrip())
        fragment = header.cut(end - len(node.rest), end)
        return fragment if fragment.text == node.rest else None

    def block(self, node: Node) -> tuple[int, int]:
        """The range of the instruction's lines, with the comments directly above it."""
        line = node.location.start
        first = len(self.document.directives) + 1
        while line > first and self.line(line - 1).lstrip().startswith("#"):
            line -= 1
        return self.line_start(line), self.line_start(node.location.end + 1)

    def add_flags(self, node: Node, flags: list[str]) -> Edit | None:
        """Insert flags behind the keyword: in its line if there is only one and it stays short,
        else with a line for each."""
        header = self.header(node)
        if header is None:
            return None
        blank = BLANKS.search(header.text)
        if blank is None or blank.end() >= len(header.text):
            return None
        at = header.offsets[blank.end()]
        joined = "".join(f"{flag} " for flag in flags)
        last = self.header_end(node) - 1
        single = last == node.location.start
        if single and len(self.line(last)) + len(joined) <= _LONGEST_LINE:
            return Edit(at, at, joined)
        ending = f" {self.document.escape}{self.newline}{self.indent(node)}"
        return Edit(at, at, "".join(f"{flag}{ending}" for flag in flags))

    def indent(self, node: Node) -> str:
        """The white space before the second line of an instruction."""
        if self.header_end(node) - 1 > node.location.start:
            match = re.match(r"[ \t]*", self.line(node.location.start + 1))
            return (match[0] if match else "") or _INDENT
        return _INDENT

    def cut_before(self, node: Node, script: Fragment, start: int, end: int, right: int) -> Edit:
        """Remove the commands `start` to `end` of a script, up to the next one at `right`. Comments
        above that one stay."""
        begin, last = script.source(start, end)
        to = script.offsets[right]
        *lines, indent = self.text[last:to].split("\n")
        comments = [line for line in lines[1:] if line.lstrip().startswith("#")]
        if not comments:
            return Edit(begin, to, "")
        if node.heredocs:
            comments[0] = comments[0].lstrip()
        else:
            comments.insert(0, self.document.escape + self.newline.removesuffix("\n"))
        return Edit(begin, to, "".join(f"{line}\n" for line in comments) + indent)

    def insert_before(self, node: Node, text: str) -> Edit:
        """Insert an instruction before this one and its comments."""
        start, _ = self.block(node)
        return Edit(start, start, text + self.newline)

    def insert_after(self, node: Node, text: str) -> Edit:
        """Insert lines (without the last line's end) behind an instruction."""
        end = self.line_start(node.location.end + 1)
        if end == len(self.text) and not self.text.endswith("\n"):
            return Edit(end, end, self.newline + text)
        return Edit(end, end, text + self.newline)

    def remove(self, node: Node) -> Edit:
        """Remove an instruction with the comments directly above it."""
        return Edit(*self.block(node), "")


def shell_fragment(source: SourceText, node: Node) -> Fragment | None:
    """The shell script of a RUN: its command line, or the heredoc that it is or is passed to a
    shell. None for the exec form, and for other interpreters."""
    if json_words(node.rest) is not None:
        return None
    if not node.heredocs:
        return source.rest(node)
    if len(node.heredocs) > 1 or len(markers(node.rest)) != 1:
        return None
    before, _, after = node.rest.partition("<<")
    if (
        len(after.split()) > 1
        or re.fullmatch(r"(?:(?:/\w+)*/?(?:ba|da|a)?sh( -\w+)*)? *", before) is None
    ):
        return None
    body = source.heredoc(node)
    if body is None or not body.text.startswith("#!"):
        return body
    first, _, _ = body.text.partition("\n")
    if re.search(r"\b(?:ba|da|a|z)?sh\b", first) is None:
        return None
    return body.cut(len(first) + 1, len(body.text))

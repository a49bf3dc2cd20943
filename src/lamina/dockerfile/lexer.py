"""Splits text into directives, comments and raw instructions; joins continuations and heredocs."""

from __future__ import annotations

import re

from lamina.base.errors import InvalidInput
from lamina.base.location import Location
from lamina.base.named_tuple import NamedTuple
from lamina.dockerfile.words import BLANKS, json_words, markers, split_line

_DIRECTIVE = re.compile(r"([A-Za-z][A-Za-z0-9]*)\s*=\s*(\S(?:.*\S)?|[^\S\n])\s*\Z")
_HEREDOC_KEYWORDS = frozenset(("ADD", "COPY", "RUN"))
_LONGEST = (1 << 16) - 1  # bytes of a line, as with BuildKit
_DIRECTIVES = frozenset(("syntax", "escape", "check"))


class Heredoc(NamedTuple):
    """`content` is as written; it is expanded unless the delimiter was quoted.

    `chomp` (`<<-`) removes tabs at the beginning of lines.
    """

    name: str
    content: str
    expand: bool
    chomp: bool


class Node(NamedTuple):
    """One instruction: its keyword in capitals, `--flag` words, and the rest as one line.

    `original` is the whole instruction as one line, without heredocs. `comments` are the lines
    directly above it.
    """

    keyword: str
    flags: tuple[str, ...]
    rest: str
    heredocs: tuple[Heredoc, ...]
    original: str
    location: Location
    comments: tuple[str, ...] = ()

    @property
    def written(self) -> str:
        """The keyword as it is written."""
        return BLANKS.split(self.original.strip(), maxsplit=1)[0]


class Document(NamedTuple):
    """`directives` are (name, value).

    `blank_continuations` are the last lines of instructions with blank lines inside: an old habit
    that may become an error. `check` is the first word of the `check` directive, "" if there is
    none; unlike other directives it may follow a `#!` line.
    """

    nodes: tuple[Node, ...]
    directives: tuple[tuple[str, str], ...]
    escape: str
    blank_continuations: tuple[Location, ...] = ()
    check: str = ""


def parse_document(text: str, filename: str) -> Document:
    """Split a Dockerfile into nodes. Raises InvalidInput, located."""
    return _Lexer(text, filename).run()


def parse_directive(text: str) -> tuple[str, str]:
    """(name, value) of a comment's text that is a parser directive; else two empty strings."""
    match = _DIRECTIVE.match(text.lstrip())
    if match is None or match[1].lower() not in _DIRECTIVES:
        return "", ""
    return match[1].lower(), match[2]


class _Lexer:
    def __init__(self, text: str, filename: str) -> None:
        self._text = text
        self._filename = filename
        self._lines = text.removeprefix("\ufeff").split("\n")
        if not self._lines[-1]:
            self._lines.pop()
        self._at = 0
        self._check_length()
        self._directives = self._read_directives()
        self._escape = dict(self._directives).get("escape", "\\")
        if self._escape not in ("\\", "`"):
            raise InvalidInput(
                f"invalid escape token '{self._escape}' does not match ` or \\",
                location=self._place(1),
            )
        mark = re.escape(self._escape)
        # A doubled escape character at the end is itself, not a continuation.
        self._continued = re.compile(rf"(?:(?<=[^{mark}])|\A){mark}[ \t]*\Z")
        self._blank: list[Location] = []

    def _check_length(self) -> None:
        if len(self._text) * 4 <= _LONGEST:  # a letter has four bytes at most
            return
        for number, line in enumerate(self._lines, 1):
            if len(line.encode("utf-8", "surrogateescape")) > _LONGEST:
                raise InvalidInput(
                    f"dockerfile line greater than max allowed size of {_LONGEST}",
                    hint="split it with line continuations, or COPY a file",
                    location=self._place(number),
                )

    def run(self) -> Document:
        nodes: list[Node] = []
        comments: list[str] = []
        while self._at < len(self._lines):
            line = self._lines[self._at].strip("\r").lstrip()
            if line.startswith("#"):
                comment = line[1:].strip()
                if not comment:
                    comments.clear()
                elif self._at >= len(self._directives):
                    comments.append(comment)
                self._at += 1
            elif not line:
                self._at += 1
            else:
                nodes.append(self._node(line, tuple(comments)))
                comments.clear()
        if not nodes:
            raise InvalidInput(
                "the Dockerfile has no instructions",
                hint="add at least a FROM line",
                location=self._place(1),
            )
        return Document(
            tuple(nodes), self._directives, self._escape, tuple(self._blank), self._check()
        )

    def _check(self) -> str:
        directives = self._directives
        if self._lines[0].startswith("#!"):
            self._lines.pop(0)
            directives = self._read_directives()
        return dict(directives).get("check", "").split(" ", 1)[0]

    def _node(self, line: str, comments: tuple[str, ...]) -> Node:
        start = self._at + 1
        joined = self._join(line, start)
        try:
            keyword, flags, rest = split_line(joined, self._escape)
            heredocs = self._heredocs(keyword.upper(), rest, joined, start)
        except InvalidInput as error:
            raise error.at(self._place(start, self._at)) from None
        place = self._place(start, self._at)
        return Node(keyword.upper(), flags, rest, heredocs, joined, place, comments)

    def _join(self, line: str, start: int) -> str:
        """The instruction's lines as one; comments and blank lines between them are dropped."""
        self._at += 1
        pieces: list[str] = []
        blank = False
        while True:
            ending = self._continued.search(line)
            if ending is None:
                pieces.append(line)
                break
            pieces.append(line[: ending.start()])
            while self._at < len(self._lines):
                line = self._lines[self._at].rstrip("\r")
                self._at += 1
                stripped = line.lstrip()
                if stripped.startswith("#"):
                    continue
                if stripped:
                    break
                blank = True
            else:
                break
        if blank:
            self._blank.append(self._place(self._at))
        return "".join(pieces)

    def _heredocs(self, keyword: str, rest: str, line: str, start: int) -> tuple[Heredoc, ...]:
        if "<<" not in line:
            return ()
        if keyword == "ONBUILD":
            keyword, _, rest = split_line(rest, self._escape)
            keyword = keyword.upper()
        if keyword not in _HEREDOC_KEYWORDS or json_words(rest) is not None:
            return ()
        found = []
        for name, expand, chomp in markers(line):
            content: list[str] = []
            while self._at < len(self._lines):
                raw = self._lines[self._at]
                self._at += 1
                ending = raw.rstrip("\r")
                if (ending.lstrip("\t") if chomp else ending) == name:
                    break
                content.append(raw + "\n")
            else:
                raise InvalidInput(
                    f"unterminated heredoc: no line contains only {name}",
                    hint=f"end it with a line that contains only {name}",
                    location=self._place(start),
                )
            found.append(Heredoc(name, "".join(content), expand, chomp))
        return tuple(found)

    def _read_directives(self) -> tuple[tuple[str, str], ...]:
        """`# name=value` lines at the top of the file. The first other line ends them."""
        found: list[tuple[str, str]] = []
        for number, raw in enumerate(self._lines, 1):
            line = raw.lstrip()
            name, value = parse_directive(line[1:]) if line.startswith("#") else ("", "")
            if not name:
                break
            if any(name == known for known, _ in found):
                raise InvalidInput(
                    f"only one {name} parser directive can be used", location=self._place(number)
                )
            found.append((name, value))
        return tuple(found)

    def _place(self, start: int, end: int = 0) -> Location:
        return Location(self._filename, start, max(start, end), self._text)

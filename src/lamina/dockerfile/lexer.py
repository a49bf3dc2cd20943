"""From text to instructions' raw parts: directives, continuations, comments, heredocs."""

from __future__ import annotations

import re
from typing import NamedTuple

from lamina.base.errors import InvalidInput
from lamina.base.location import Location

_DIRECTIVE = re.compile(r"#\s*([A-Za-z][A-Za-z0-9]*)\s*=\s*(.+?)\s*\Z")
_HEREDOC = re.compile(r"(?<![\w<])(\d*)<<(-?)(?:\"([^\"<>|;&\s]+)\"|'([^'<>|;&\s]+)'|([\w.]+))")
_HEREDOC_INSTRUCTIONS = frozenset(("ADD", "COPY", "RUN"))
_KNOWN_DIRECTIVES = frozenset(("syntax", "escape", "check"))


class Heredoc(NamedTuple):
    """`expand` unless the delimiter was quoted; `chomp` (`<<-`) strips leading tabs."""

    name: str
    content: str
    expand: bool
    chomp: bool
    number: str = ""


class Node(NamedTuple):
    """One instruction: its keyword in capitals, `--flag` words, and the rest as one line."""

    keyword: str
    flags: tuple[str, ...]
    rest: str
    heredocs: tuple[Heredoc, ...]
    original: str
    location: Location


class Document(NamedTuple):
    nodes: tuple[Node, ...]
    directives: tuple[tuple[str, str], ...]
    escape: str


def parse_document(text: str, filename: str) -> Document:
    """Split a Dockerfile into nodes. Raises InvalidInput, located."""
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    lines = text.split("\n")
    if lines and not lines[-1]:
        lines.pop()
    directives = _directives(lines, filename, text)
    escape = dict(directives).get("escape", "\\")
    if escape not in ("\\", "`"):
        raise InvalidInput(
            f"invalid escape token '{escape}'",
            hint="# escape takes \\ or `",
            location=Location(filename, 1, 1, text),
        )
    continuation = re.compile(
        rf"([^{re.escape(escape)}])?{re.escape(escape)}[ \t]*\Z|\A{re.escape(escape)}[ \t]*\Z"
    )
    nodes = []
    at = 0
    while at < len(lines):
        line = lines[at].lstrip()
        if not line or line.startswith("#"):
            at += 1
            continue
        start = at
        joined, original = "", []
        while at < len(lines):
            raw = lines[at]
            if at > start and (not raw.strip() or raw.lstrip().startswith("#")):
                at += 1
                continue
            original.append(raw)
            at += 1
            piece = raw.lstrip() if at - 1 == start else raw
            ending = continuation.search(piece)
            if ending is None:
                joined += piece
                break
            joined += piece[: ending.end(1) if ending.group(1) is not None else ending.start()]
        keyword, _, rest = joined.strip().partition(" ")
        if "\t" in keyword:
            keyword, _, rest = joined.strip().partition("\t")
        keyword = keyword.upper()
        heredocs: list[Heredoc] = []
        if keyword in _HEREDOC_INSTRUCTIONS or (
            keyword == "ONBUILD" and rest.split(None, 1)[:1] != []
        ):
            for match in _find_heredocs(rest):
                at, heredoc = _read_heredoc(lines, at, match, filename, text, start)
                heredocs.append(heredoc)
        location = Location(filename, start + 1, at, text)
        flags, rest = _take_flags(rest.strip())
        nodes.append(Node(keyword, flags, rest, tuple(heredocs), "\n".join(original), location))
    if not nodes:
        raise InvalidInput(
            "the Dockerfile is empty",
            hint="it needs at least a FROM line",
            location=Location(filename, 1, 1, text),
        )
    return Document(tuple(nodes), directives, escape)


def _directives(lines: list[str], filename: str, text: str) -> tuple[tuple[str, str], ...]:
    found: list[tuple[str, str]] = []
    for number, line in enumerate(lines, 1):
        match = _DIRECTIVE.match(line.strip())
        if match is None or match[1].lower() not in _KNOWN_DIRECTIVES:
            break
        name = match[1].lower()
        if any(name == known for known, _ in found):
            raise InvalidInput(
                f"only one {name} parser directive can be used",
                location=Location(filename, number, number, text),
            )
        found.append((name, match[2]))
    return tuple(found)


def _find_heredocs(rest: str) -> list[re.Match[str]]:
    if rest.lstrip().startswith("["):
        return []
    return [match for match in _HEREDOC.finditer(rest) if not _quoted(rest, match.start())]


def _quoted(text: str, position: int) -> bool:
    quote = ""
    skip = False
    for char in text[:position]:
        if skip:
            skip = False
        elif char == "\\" and quote != "'":
            skip = True
        elif quote:
            if char == quote:
                quote = ""
        elif char in "\"'":
            quote = char
    return bool(quote)


def _read_heredoc(
    lines: list[str], at: int, match: re.Match[str], filename: str, text: str, start: int
) -> tuple[int, Heredoc]:
    name = match[3] or match[4] or match[5]
    chomp = match[2] == "-"
    content: list[str] = []
    while at < len(lines):
        line = lines[at]
        at += 1
        if (line.lstrip("\t") if chomp else line) == name:
            body = "".join(f"{piece}\n" for piece in content)
            return at, Heredoc(name, body, match[5] is not None, chomp, match[1])
        content.append(line.lstrip("\t") if chomp else line)
    raise InvalidInput(
        f"unterminated heredoc: no line is exactly {name}",
        hint=f"end it with a line that holds {name} alone",
        location=Location(filename, start + 1, start + 1, text),
    )


def _take_flags(rest: str) -> tuple[tuple[str, ...], str]:
    """Leading `--name[=value]` words; `--` ends them."""
    flags = []
    while rest.startswith("--"):
        end = 0
        quote = ""
        while end < len(rest):
            char = rest[end]
            if quote:
                quote = "" if char == quote else quote
            elif char in "\"'":
                quote = char
            elif char.isspace():
                break
            end += 1
        word = rest[:end]
        rest = rest[end:].lstrip()
        if word == "--":
            break
        flags.append(re.sub(r"([\"'])(.*?)\1", r"\2", word))
    return tuple(flags), rest

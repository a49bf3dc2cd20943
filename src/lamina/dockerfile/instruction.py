"""Instructions as values, and how each is read from its node."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from lamina.base.errors import InvalidInput
from lamina.dockerfile.expand import split_words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lamina.dockerfile.lexer import Heredoc, Node

KEYWORDS = (
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
)
_FLAGS = {
    "ADD": (
        "chown",
        "chmod",
        "link",
        "checksum",
        "exclude",
        "keep-git-dir",
        "unpack",
    ),
    "COPY": ("from", "chown", "chmod", "link", "parents", "exclude"),
    "FROM": ("platform",),
    "HEALTHCHECK": ("interval", "timeout", "start-period", "start-interval", "retries"),
    "RUN": ("mount", "network", "security", "device"),
}
_REPEATABLE = frozenset(("mount", "exclude", "device"))
_BOOLEAN = frozenset(("link", "parents", "keep-git-dir", "unpack"))

Pairs = tuple[tuple[str, str], ...]


class Command(NamedTuple):
    """A command line: exec form (`args`) or shell form (`shell`, the text)."""

    args: tuple[str, ...]
    shell: bool


class Flags:
    """The flags of one instruction, checked against what it knows."""

    def __init__(self, node: Node) -> None:
        known = _FLAGS.get(node.keyword, ())
        self._values: dict[str, list[str]] = {}
        for word in node.flags:
            name, equals, value = word[2:].partition("=")
            if name not in known:
                raise InvalidInput(
                    f"unknown flag: --{name}",
                    hint=suggest(name, known) or f"{node.keyword} takes no such flag",
                    location=node.location,
                )
            if not equals:
                if name not in _BOOLEAN:
                    raise InvalidInput(f"missing a value on flag: --{name}", location=node.location)
                value = "true"
            values = self._values.setdefault(name, [])
            if values and name not in _REPEATABLE:
                raise InvalidInput(f"duplicate flag specified: {name}", location=node.location)
            values.append(value)
        self._node = node

    def text(self, name: str) -> str:
        return self._values.get(name, [""])[0]

    def all(self, name: str) -> tuple[str, ...]:
        return tuple(self._values.get(name, ()))

    def enabled(self, name: str) -> bool | None:
        """True or false as written, None if the flag is not there."""
        if name not in self._values:
            return None
        value = self._values[name][0].lower()
        if value not in ("true", "false", "1", "0"):
            raise InvalidInput(
                f"expecting boolean value for flag {name}, not: {value}",
                location=self._node.location,
            )
        return value in ("true", "1")


def suggest(word: str, known: Sequence[str]) -> str:
    """A "did you mean" for a misspelt word; "" if nothing is near."""
    import difflib

    near = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {near[0]}?" if near else ""


def check_keyword(node: Node) -> None:
    if node.keyword not in KEYWORDS:
        raise InvalidInput(
            f"unknown instruction: {node.keyword}",
            hint=suggest(node.keyword, KEYWORDS),
            location=node.location,
        )


def parse_json_words(text: str) -> tuple[str, ...] | None:
    """A JSON array of strings, or None if the text is not one."""
    if not text.lstrip().startswith("["):
        return None
    try:
        words = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        return None
    return tuple(words)


def parse_command(node: Node) -> Command:
    """CMD, ENTRYPOINT and RUN: exec form if it is a JSON array, else shell form."""
    words = parse_json_words(node.rest)
    if words is not None:
        return Command(words, shell=False)
    return Command((node.rest,), shell=True)


def parse_pairs(node: Node, escape: str) -> Pairs:
    """ENV, LABEL and ARG-like `name=value …`, or the old `name value` form."""
    words = split_words(node.rest, escape)
    if not words:
        raise InvalidInput(f"{node.keyword} requires at least one argument", location=node.location)
    if "=" not in words[0]:
        name, _, value = node.rest.strip().partition(" ")
        if not value.strip():
            raise InvalidInput(
                f"{node.keyword} must have two arguments",
                hint=f"write {node.keyword} name=value",
                location=node.location,
            )
        return ((name, value.strip()),)
    pairs = []
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise InvalidInput(
                f'Syntax error - can\'t find = in "{word}". Must be of the form: name=value',
                location=node.location,
            )
        if not name:
            raise InvalidInput(f"{node.keyword} names can not be blank", location=node.location)
        pairs.append((name, value))
    return tuple(pairs)


def parse_strings(node: Node, escape: str) -> tuple[str, ...]:
    """Words, JSON or not (VOLUME, ADD, COPY)."""
    words = parse_json_words(node.rest)
    return words if words is not None else tuple(split_words(node.rest, escape))


def one_argument(node: Node) -> str:
    if not node.rest.strip():
        raise InvalidInput(f"{node.keyword} requires exactly one argument", location=node.location)
    return node.rest.strip()


class From(NamedTuple):
    image: str
    name: str
    platform: str


def parse_from(node: Node) -> From:
    flags = Flags(node)
    words = node.rest.split()
    if len(words) == 3 and words[1].lower() == "as":
        name = words[2].lower()
        if not name[:1].isalpha() or not all(c.isalnum() or c in "-_." for c in name):
            raise InvalidInput(
                f'invalid name for build stage: "{words[2]}", name can\'t start with a number '
                "or contain symbols",
                location=node.location,
            )
        return From(words[0], name, flags.text("platform"))
    if len(words) != 1:
        raise InvalidInput(
            "FROM requires either one or three arguments",
            hint="write FROM image [AS name]",
            location=node.location,
        )
    return From(words[0], "", flags.text("platform"))


class HealthCheck(NamedTuple):
    """`test` is the command with its `CMD`, `CMD-SHELL` or `NONE`; times in nanoseconds."""

    test: tuple[str, ...]
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    start_interval: int = 0
    retries: int = 0


def parse_health_check(node: Node) -> HealthCheck:
    kind, _, rest = node.rest.strip().partition(" ")
    if kind.upper() == "NONE":
        if rest.strip():
            raise InvalidInput("HEALTHCHECK NONE takes no arguments", location=node.location)
        return HealthCheck(("NONE",))
    if kind.upper() != "CMD":
        raise InvalidInput(
            f"unknown type {kind!r} in HEALTHCHECK (try CMD)", location=node.location
        )
    if not rest.strip():
        raise InvalidInput("missing command after HEALTHCHECK CMD", location=node.location)
    command = parse_command(node._replace(rest=rest.strip()))
    flags = Flags(node)
    retries = flags.text("retries")
    if retries and not retries.isdecimal():
        raise InvalidInput(f'"{retries}" is not a number of retries', location=node.location)

    def duration(name: str) -> int:
        text = flags.text(name)
        return parse_duration(text, node) if text else 0

    return HealthCheck(
        ("CMD-SHELL" if command.shell else "CMD", *command.args),
        duration("interval"),
        duration("timeout"),
        duration("start-period"),
        duration("start-interval"),
        int(retries or 0),
    )


_UNITS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}


def parse_duration(text: str, node: Node) -> int:
    """Nanoseconds of Go's duration syntax (`1m30s`, `500ms`)."""
    import re

    total = 0.0
    pieces = re.findall(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)", text)
    if not pieces or "".join(number + unit for number, unit in pieces) != text:
        raise InvalidInput(
            f'"{text}" is not a duration', hint="write 30s or 1m30s", location=node.location
        )
    for number, unit in pieces:
        total += float(number) * _UNITS[unit]
    if 0 < total < 1_000_000:
        raise InvalidInput("a duration cannot be less than 1ms", location=node.location)
    return int(total)


class Copy(NamedTuple):
    """COPY or ADD. `heredocs` are inline files, by the word that stands for them."""

    keyword: str
    sources: tuple[str, ...]
    heredocs: tuple[Heredoc, ...]
    destination: str
    flags: Flags


def parse_copy(node: Node, escape: str) -> Copy:
    words = list(parse_strings(node, escape))
    inline = []
    sources = []
    for word in words[:-1]:
        match = next(
            (h for h in node.heredocs if word.lstrip("0123456789<-").strip("\"'") == h.name), None
        )
        if match is not None and "<<" in word:
            inline.append(match)
        else:
            sources.append(word)
    if len(words) < 2:
        raise InvalidInput(
            f"{node.keyword} requires at least two arguments, but only {len(words)} "
            "were provided. Destination could not be determined",
            location=node.location,
        )
    return Copy(node.keyword, tuple(sources), tuple(inline), words[-1], Flags(node))

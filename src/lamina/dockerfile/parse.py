"""Converts nodes to instructions: the syntax of every keyword."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput, LaminaError
from lamina.dockerfile import instruction as ast
from lamina.dockerfile.flags import Flags, Kind
from lamina.dockerfile.words import (
    BLANKS,
    chomp,
    json_words,
    marker,
    split_line,
    split_words,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from lamina.dockerfile.lexer import Heredoc, Node

_STAGE_NAME = re.compile(r"[a-z][a-z0-9-_.]*")
_ONBUILD = re.compile(r"\s*ONBUILD\s*", re.IGNORECASE)
_TEXT, _TEXTS, _SWITCH = Kind.TEXT, Kind.TEXTS, Kind.SWITCH
COPY_FLAGS = {
    "from": _TEXT,
    "chown": _TEXT,
    "chmod": _TEXT,
    "link": _SWITCH,
    "exclude": _TEXTS,
    "parents": _SWITCH,
}
ADD_FLAGS = {
    "chown": _TEXT,
    "chmod": _TEXT,
    "link": _SWITCH,
    "keep-git-dir": _SWITCH,
    "checksum": _TEXT,
    "unpack": _SWITCH,
    "exclude": _TEXTS,
}
RUN_FLAGS = {"mount": _TEXTS, "network": _TEXT, "security": _TEXT, "device": _TEXTS}


def parse_instruction(node: Node, escape: str) -> ast.Instruction | ast.From:
    """Read one instruction. Raises InvalidInput, located."""
    try:
        parser = _PARSERS.get(node.keyword)
        if parser is None:
            raise _unknown(node)
        return parser(node, escape)
    except LaminaError as error:
        during = error.during or f"dockerfile parse error on line {node.location.start}"
        raise error.with_context(during=during).at(node.location) from None


def _unknown(node: Node) -> InvalidInput:
    from lamina.dockerfile.suggest import suggest

    hint = suggest(node.keyword, ast.KEYWORDS) or f"instructions are {', '.join(ast.KEYWORDS)}"
    return InvalidInput(f"unknown instruction: {node.written}", hint=hint)


def _needs(node: Node, what: str, hint: str = "") -> InvalidInput:
    return InvalidInput(f"{node.keyword} requires {what}", hint=hint)


def _no_flags(node: Node) -> None:
    Flags(node, {})


def _one(node: Node, hint: str = "") -> str:
    _no_flags(node)
    if not node.rest:
        raise _needs(node, "exactly one argument", hint)
    return node.rest


def _list(node: Node) -> list[str]:
    """The strings of a JSON array, or words separated by white space."""
    words = json_words(node.rest)
    if words is not None:
        return list(words)
    return BLANKS.split(node.rest) if node.rest else []


def _command(node: Node) -> ast.Command:
    words = json_words(node.rest)
    if words is not None:
        return ast.Command(words, shell=False, heredocs=node.heredocs)
    return ast.Command((node.rest,) if node.rest else (), shell=True, heredocs=node.heredocs)


def _pairs(node: Node, escape: str) -> tuple[ast.KeyValue, ...]:
    _no_flags(node)
    words = split_words(node.rest, escape)
    if not words:
        raise _needs(node, "at least one argument", f"write {node.keyword} name=value")
    if "=" not in words[0]:
        name, *rest = BLANKS.split(node.rest, maxsplit=1)
        if not rest:
            raise InvalidInput(
                f"{node.keyword} must have two arguments", hint=f"write {node.keyword} name=value"
            )
        return (ast.KeyValue(name, rest[0], legacy=True),)
    pairs = []
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise InvalidInput(
                f'Syntax error - can\'t find = in "{word}". Must be of the form: name=value',
                hint="a value with white space needs quotes",
            )
        if not name:
            raise InvalidInput(f"{node.keyword} names can not be blank")
        pairs.append(ast.KeyValue(name, value))
    return tuple(pairs)


def _env(node: Node, escape: str) -> ast.Env:
    return ast.Env(node, _pairs(node, escape))


def _label(node: Node, escape: str) -> ast.Label:
    return ast.Label(node, _pairs(node, escape))


def _arg(node: Node, escape: str) -> ast.Arg:
    words = split_words(node.rest, escape)
    if not words:
        raise _needs(node, "at least one argument", "write ARG name or ARG name=default")
    args = []
    for word in words:
        name, equals, value = word.partition("=")
        if not name:
            raise InvalidInput("ARG names can not be blank")
        args.append((name, value if equals else None))
    return ast.Arg(node, tuple(args))


def _from(node: Node, escape: str) -> ast.From:
    words = BLANKS.split(node.rest) if node.rest else []
    name = ""
    if len(words) == 3 and words[1].lower() == "as":
        name = words[2].lower()
        if _STAGE_NAME.fullmatch(name) is None:
            raise InvalidInput(
                f'invalid name for build stage: "{words[2]}", name can\'t start with a number '
                "or contain symbols",
                hint="a name begins with a letter; letters, digits, - _ and . may follow",
            )
    elif len(words) != 1:
        raise _needs(node, "either one or three arguments", "write FROM image [AS name]")
    return ast.From(node, words[0], name, Flags(node, {"platform": _TEXT}).text("platform"))


def _run(node: Node, escape: str) -> ast.Run:
    from lamina.dockerfile.mounts import mount_origin, parse_device

    flags = Flags(node, RUN_FLAGS)
    command = _command(node)
    if not command.args:
        if not command.shell:
            raise _needs(node, "a command")
        # An empty command is valid for a shell, too.
        command = command._replace(args=("",))
    network = flags.text("network") or "default"
    if network not in ("default", "none", "host"):
        raise InvalidInput(f'invalid network mode "{network}"', hint="use default, none or host")
    security = flags.text("security") or "sandbox"
    if security not in ("sandbox", "insecure"):
        raise InvalidInput(f'security "{security}" is not valid', hint="use sandbox or insecure")
    mounts = flags.texts("mount")
    return ast.Run(
        node,
        command,
        mounts,
        tuple(mount_origin(text) for text in mounts),
        network,
        security,
        tuple(parse_device(text) for text in flags.texts("device")),
    )


def _copy(node: Node, escape: str) -> ast.Copy:
    words = _list(node)
    if len(words) < 2:
        raise _needs(
            node,
            "at least two arguments, but only one was provided. "
            "Destination could not be determined",
            f"write {node.keyword} source… destination",
        )
    flags = Flags(node, ADD_FLAGS if node.keyword == "ADD" else COPY_FLAGS)
    *candidates, destination = words
    if marker(destination) is not None:
        raise InvalidInput(f"{node.keyword} cannot accept a heredoc as a destination")
    contents = {heredoc.name: heredoc.content for heredoc in node.heredocs}
    sources: list[str] = []
    inline: list[Heredoc] = []
    for word in candidates:
        found = marker(word)
        if found is None:
            sources.append(word)
            continue
        content = contents.get(found.name, "")
        if found.chomp:
            content = chomp(content)
        from lamina.dockerfile.lexer import Heredoc

        inline.append(Heredoc(found.name, content, found.expand, found.chomp))
    return ast.Copy(
        node,
        tuple(sources),
        tuple(inline),
        destination,
        origin=flags.text("from"),
        chown=flags.text("chown"),
        chmod=flags.text("chmod"),
        link=bool(flags.switch("link")),
        parents=bool(flags.switch("parents")),
        excludes=flags.texts("exclude"),
        checksum=flags.text("checksum"),
        keep_git_dir=flags.switch("keep-git-dir"),
        unpack=flags.switch("unpack"),
    )


def _cmd(node: Node, escape: str) -> ast.Cmd:
    _no_flags(node)
    return ast.Cmd(node, _command(node))


def _entrypoint(node: Node, escape: str) -> ast.Entrypoint:
    _no_flags(node)
    return ast.Entrypoint(node, _command(node))


def _workdir(node: Node, escape: str) -> ast.Workdir:
    return ast.Workdir(node, _one(node))


def _user(node: Node, escape: str) -> ast.User:
    return ast.User(node, _one(node))


def _volume(node: Node, escape: str) -> ast.Volume:
    _no_flags(node)
    paths = tuple(path.strip() for path in _list(node))
    if not paths:
        raise _needs(node, "at least one argument")
    if not all(paths):
        raise InvalidInput("VOLUME specified can not be an empty string")
    return ast.Volume(node, paths)


def _expose(node: Node, escape: str) -> ast.Expose:
    _no_flags(node)
    ports = BLANKS.split(node.rest) if node.rest else []
    if not ports:
        raise _needs(node, "at least one argument", "write EXPOSE port[/protocol]")
    return ast.Expose(node, tuple(sorted(ports)))


def _stop_signal(node: Node, escape: str) -> ast.StopSignal:
    return ast.StopSignal(node, _one(node))


def _shell(node: Node, escape: str) -> ast.Shell:
    _no_flags(node)
    words = json_words(node.rest)
    if words is None and node.rest:
        raise _needs(node, "the arguments to be in JSON form", 'write SHELL ["/bin/bash", "-c"]')
    if not words:
        raise _needs(node, "at least one argument", 'write SHELL ["/bin/bash", "-c"]')
    return ast.Shell(node, words)


def _health_check(node: Node, escape: str) -> ast.HealthCheck:
    from lamina.dockerfile.health import parse_health_check

    return parse_health_check(node)


def _maintainer(node: Node, escape: str) -> ast.Maintainer:
    return ast.Maintainer(node, _one(node))


def _on_build(node: Node, escape: str) -> ast.OnBuild:
    _no_flags(node)
    if not node.rest:
        raise _needs(node, "at least one argument", "write ONBUILD RUN …")
    keyword = split_line(node.rest, escape)[0].upper()
    if keyword == "ONBUILD":
        raise InvalidInput("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")
    if keyword in ("MAINTAINER", "FROM"):
        raise InvalidInput(f"{keyword} isn't allowed as an ONBUILD trigger")
    # Whether the instruction exists is checked when it is triggered.
    trigger = _ONBUILD.sub("", node.original, count=1)
    for heredoc in node.heredocs:
        trigger += f"\n{heredoc.content}{heredoc.name}"
    return ast.OnBuild(node, trigger)


_PARSERS: dict[str, Callable[[Node, str], ast.Instruction | ast.From]] = {
    "ADD": _copy,
    "ARG": _arg,
    "CMD": _cmd,
    "COPY": _copy,
    "ENTRYPOINT": _entrypoint,
    "ENV": _env,
    "EXPOSE": _expose,
    "FROM": _from,
    "HEALTHCHECK": _health_check,
    "LABEL": _label,
    "MAINTAINER": _maintainer,
    "ONBUILD": _on_build,
    "RUN": _run,
    "SHELL": _shell,
    "STOPSIGNAL": _stop_signal,
    "USER": _user,
    "VOLUME": _volume,
    "WORKDIR": _workdir,
}

"""ARG: declared names, and the ones that exist without being declared."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput
from lamina.dockerfile.expand import Expander, split_words

if TYPE_CHECKING:
    from lamina.base.platform import Platform
    from lamina.dockerfile.lexer import Node

PROXIES = ("http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy")
_PROXY_NAMES = frozenset((*PROXIES, *(name.upper() for name in PROXIES)))


def is_proxy(name: str) -> bool:
    """Proxy settings reach every RUN without being declared, and touch no cache key."""
    return name in _PROXY_NAMES


def parse_args(node: Node, expander: Expander, escape: str) -> list[tuple[str, str | None]]:
    """`ARG name[=default] …`, defaults expanded; None where there is none."""
    words = split_words(node.rest, escape)
    if not words:
        raise InvalidInput("ARG requires at least one argument", location=node.location)
    found: list[tuple[str, str | None]] = []
    for word in words:
        name, equals, value = word.partition("=")
        if not name:
            raise InvalidInput("ARG names can not be blank", location=node.location)
        try:
            found.append((name, expander.word(value) if equals else None))
        except InvalidInput as error:
            raise error.at(node.location) from None
    return found


def platform_args(target: Platform, build: Platform, stage: str) -> dict[str, str]:
    """`TARGET*` and `BUILD*`."""
    return {
        "BUILDPLATFORM": str(build),
        "BUILDOS": build.os,
        "BUILDOSVERSION": build.os_version,
        "BUILDARCH": build.architecture,
        "BUILDVARIANT": build.variant,
        "TARGETPLATFORM": str(target),
        "TARGETOS": target.os,
        "TARGETOSVERSION": target.os_version,
        "TARGETARCH": target.architecture,
        "TARGETVARIANT": target.variant,
        "TARGETSTAGE": stage or "default",
    }

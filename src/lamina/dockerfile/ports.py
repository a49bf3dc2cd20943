"""EXPOSE: `[[ip:]host:]port[-port][/protocol]`, of which only port and protocol count."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Sequence

_HINT = "a port looks like 80, 53/udp or 8000-8010/tcp"


def parse_ports(words: Sequence[str]) -> tuple[str, ...]:
    """Every port as `number/protocol`, ranges spelled out. Raises InvalidInput."""
    return tuple(port for word in words for port in _parse(word))


def _parse(word: str) -> list[str]:
    address, host, container = _split(word)
    numbers, _, protocol = container.partition("/")
    if not numbers:
        raise InvalidInput(f'invalid port: "{word}": no port specified', hint=_HINT)
    protocol = protocol.lower() or "tcp"
    if protocol not in ("tcp", "udp", "sctp"):
        raise InvalidInput(f'invalid port: "{word}": invalid proto: {protocol}', hint=_HINT)
    if address:
        _check_address(address)
    first, last = _range(numbers, "containerPort")
    if host:
        host_first, host_last = _range(host, "hostPort")
        if last != first and last - first != host_last - host_first:
            raise InvalidInput(
                f"invalid ranges specified for container and host Ports: {numbers} and {host}"
            )
    return [f"{port}/{protocol}" for port in range(first, last + 1)]


def _split(word: str) -> tuple[str, str, str]:
    parts = word.split(":")
    if len(parts) == 1:
        return "", "", word
    return ":".join(parts[:-2]), parts[-2], parts[-1]


def _check_address(address: str) -> None:
    import ipaddress

    try:
        ipaddress.ip_address(address.removeprefix("[").removesuffix("]"))
    except ValueError:
        raise InvalidInput(f"invalid IP address: {address}") from None


def _range(text: str, what: str) -> tuple[int, int]:
    start, dash, end = text.partition("-")
    first = _number(start)
    last = _number(end) if dash else first
    if first is None or last is None or last < first:
        raise InvalidInput(f"invalid {what}: {text}", hint=_HINT)
    return first, last


def _number(text: str) -> int | None:
    if not (text.isascii() and text.isdecimal() and len(text) <= 10):
        return None
    number = int(text)
    return number if number <= 65535 else None

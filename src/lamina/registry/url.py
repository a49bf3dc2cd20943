"""Parses the URLs of requests."""

from __future__ import annotations

from lamina.base.errors import InvalidInput
from lamina.base.named_tuple import NamedTuple

_PORTS = {"http": 80, "https": 443}


class Url(NamedTuple):
    """A URL. `host` has no brackets; `target` is path and query, never empty."""

    scheme: str
    host: str
    port: int
    target: str

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}{self.target}"

    @property
    def authority(self) -> str:
        """`host[:port]`, as in a Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def origin(self) -> tuple[str, str, int]:
        return self.scheme, self.host, self.port


def make_url(scheme: str, host: str, target: str) -> Url:
    """`host` is `name[:port]` or `[v6][:port]`. Raises InvalidInput."""
    name, colon, port = host.rpartition(":")
    if host.endswith("]") or not colon:
        name, port = host, str(_PORTS[scheme])
    name = name.removeprefix("[").removesuffix("]").lower()
    if not name or not port.isdigit() or not 0 < int(port) < 65536:
        raise InvalidInput(f'"{host}" is not a registry host')
    return Url(scheme, name, int(port), target or "/")


def parse_url(text: str, base: Url | None = None) -> Url:
    """Parse a URL, relative to `base` if given. Raises InvalidInput.

    User names and passwords in it are refused: they would be sent to the host of the URL.
    """
    from urllib.parse import urljoin, urlsplit

    try:
        parts = urlsplit(urljoin(str(base), text) if base else text)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise InvalidInput(f'"{text}" is not a URL: {error}') from error
    if parts.scheme not in _PORTS or not host or parts.username is not None:
        raise InvalidInput(f'"{text}" is not an http(s) URL')
    target = parts.path or "/"
    if parts.query:
        target += "?" + parts.query
    if not target.isascii() or any(c <= " " or c == "\x7f" for c in target):
        from urllib.parse import quote

        target = quote(target, safe="/%?&=:+,;@!$'()*~-._")
    return Url(parts.scheme, host.lower(), port or _PORTS[parts.scheme], target)

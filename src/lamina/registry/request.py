"""An HTTP request to a registry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.named_tuple import NamedTuple
from lamina.registry.hosts import Tls

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from lamina.registry.url import Url


class Request(NamedTuple):
    """One request.

    `body` returns its bytes, `length` in total, again for each attempt. A request with `once` is
    not retried.
    """

    method: str
    url: Url
    headers: tuple[tuple[str, str], ...] = ()
    body: Callable[[], Iterable[bytes]] | None = None
    length: int = 0
    tls: Tls = Tls()
    once: bool = False

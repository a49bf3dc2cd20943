"""Bearer tokens that expire and are fetched again."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from lamina.objectstores.service import Headers
    from lamina.system.cancel import Cancellation

_EARLY = 60.0  # seconds before its expiry at which a token is replaced


class RenewedToken:
    """A bearer token that `fetch` returns with its time of expiry. Thread-safe."""

    def __init__(self, fetch: TokenFetch) -> None:
        self._fetch = fetch
        self._lock = threading.Lock()
        self._token = ""
        self._expires = 0.0

    def __call__(self, cancel: Cancellation) -> str:
        with self._lock:
            if time.time() > self._expires - _EARLY:
                self._token, self._expires = self._fetch(cancel)
            return self._token


class TokenFetch(Protocol):
    def __call__(self, cancel: Cancellation, /) -> tuple[str, float]:
        """A token, and when it expires (seconds since 1970)."""
        ...


class BearerSigner:
    """Sends a token with each request. Implements `lamina.objectstores.service.Signer`."""

    def __init__(
        self,
        token: Callable[[Cancellation], str],
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        self._token = token
        self._headers = headers

    def __call__(
        self, unsigned: Headers, now: float, cancel: Cancellation
    ) -> tuple[tuple[str, str], ...]:
        token = self._token(cancel)
        return (*unsigned.headers, *self._headers, ("Authorization", f"Bearer {token}"))

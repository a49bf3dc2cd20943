"""Converts errors of calls through a session to LaminaErrors."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from lamina.base.errors import Unavailable
from lamina.wire.contract import Code, StatusError
from lamina.wire.status import kind_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lamina.base.errors import LaminaError
    from lamina.system.cancel import Cancellation

_GONE = frozenset((Code.CANCELLED, Code.UNKNOWN))
"""The codes of a disconnected client, and of Go's errors without a code."""

ABSENT = frozenset((Code.NOT_FOUND, Code.UNIMPLEMENTED))
"""The codes for a service or an item that a client does not provide."""


@contextmanager
def asking(doing: str, cancel: Cancellation | None = None) -> Iterator[None]:
    """Convert errors of a call to the client. `doing` is a phrase like "read the secret"."""
    try:
        yield
    except StatusError as error:
        if cancel is not None:
            cancel.check()
        raise from_status(error, doing) from error


def from_status(error: StatusError, doing: str) -> LaminaError:
    """Convert the status of a call to a LaminaError."""
    kind = Unavailable if error.code in _GONE else kind_of(error.code)
    return kind(f"{doing}: {error.message or error.code.name.lower()}")

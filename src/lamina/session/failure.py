"""How calls through a session fail, in the words of the error tree."""

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
"""What a client that goes, and Go's errors without a code, look like."""

ABSENT = frozenset((Code.NOT_FOUND, Code.UNIMPLEMENTED))
"""The codes by which a client says that it does not provide a thing."""


@contextmanager
def asking(doing: str, cancel: Cancellation | None = None) -> Iterator[None]:
    """Translate what a call to the client raises; `doing` is a phrase like "read the secret"."""
    try:
        yield
    except StatusError as error:
        if cancel is not None:
            cancel.check()
        raise from_status(error, doing) from error


def from_status(error: StatusError, doing: str) -> LaminaError:
    """The error of the tree for how a call ended."""
    kind = Unavailable if error.code in _GONE else kind_of(error.code)
    return kind(f"{doing}: {error.message or error.code.name.lower()}")

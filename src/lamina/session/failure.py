"""How calls through a session fail, in the words of the error tree."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from lamina.base.errors import (
    AlreadyExists,
    Corrupt,
    Exhausted,
    Internal,
    InvalidInput,
    LaminaError,
    NotFound,
    PermissionDenied,
    Unavailable,
    Unsupported,
)
from lamina.wire.contract import Code, StatusError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lamina.system.cancel import Cancellation

_KINDS: dict[Code, type[LaminaError]] = {
    Code.CANCELLED: Unavailable,
    Code.UNKNOWN: Unavailable,  # Go's word for an error without a code
    Code.INVALID_ARGUMENT: InvalidInput,
    Code.DEADLINE_EXCEEDED: Unavailable,
    Code.NOT_FOUND: NotFound,
    Code.ALREADY_EXISTS: AlreadyExists,
    Code.PERMISSION_DENIED: PermissionDenied,
    Code.RESOURCE_EXHAUSTED: Exhausted,
    Code.FAILED_PRECONDITION: InvalidInput,
    Code.ABORTED: Unavailable,
    Code.OUT_OF_RANGE: InvalidInput,
    Code.UNIMPLEMENTED: Unsupported,
    Code.UNAVAILABLE: Unavailable,
    Code.DATA_LOSS: Corrupt,
    Code.UNAUTHENTICATED: PermissionDenied,
}
ABSENT = frozenset((Code.NOT_FOUND, Code.UNIMPLEMENTED))
"""The codes by which a client says that it does not lend a thing."""


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
    kind = _KINDS.get(error.code, Internal)
    return kind(f"{doing}: {error.message or error.code.name.lower()}")

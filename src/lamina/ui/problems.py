"""Errors of requests as answers."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.responses import JSONResponse

from lamina.base.errors import (
    InvalidInput,
    LaminaError,
    NotFound,
    PermissionDenied,
    Unavailable,
    Unsupported,
)
from lamina.ui.documents import Problem

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

_STATUS: tuple[tuple[type[LaminaError], HTTPStatus], ...] = (
    (NotFound, HTTPStatus.NOT_FOUND),
    (InvalidInput, HTTPStatus.BAD_REQUEST),
    (PermissionDenied, HTTPStatus.FORBIDDEN),
    (Unsupported, HTTPStatus.NOT_IMPLEMENTED),
    (Unavailable, HTTPStatus.SERVICE_UNAVAILABLE),
)


def answer_problem(request: Request, error: Exception) -> Response:
    """The answer to a request that failed: a `Problem`."""
    assert isinstance(error, LaminaError)
    status = HTTPStatus.INTERNAL_SERVER_ERROR
    for kind, code in _STATUS:
        if isinstance(error, kind):
            status = code
            break
    return JSONResponse(Problem(error=error.reason, hint=error.hint), status)

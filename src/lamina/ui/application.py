"""The ASGI application: the API, its event streams, and the page."""

from __future__ import annotations

import json
import mimetypes
import os
from typing import TYPE_CHECKING, Any

from anyio import sleep
from anyio.to_thread import run_sync
from starlette.applications import Starlette
from starlette.responses import (
    FileResponse,
    JSONResponse,
    PlainTextResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Route as HttpRoute

from lamina.base.errors import LaminaError, PermissionDenied
from lamina.ui.openapi import openapi_document
from lamina.ui.problems import answer_problem
from lamina.ui.query import Query
from lamina.ui.routes import ROUTES
from lamina.ui.static_files import STATIC, static_files

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from starlette.requests import Request

    from lamina.ui.api import Api
    from lamina.ui.routes import Route

    Handler = Callable[[Request], Awaitable[Response] | Response]

_LIST_POLL = 1.0
_BUILD_POLL = 0.3
_ALIVE = 15.0  # seconds after which a silent stream sends a comment


def application(api: Api) -> Starlette:
    """The application, without checks of who sends a request."""
    document = json.dumps(openapi_document(ROUTES)).encode()

    def describe(request: Request) -> Response:
        return Response(document, media_type="application/json")

    return Starlette(
        routes=[
            *(HttpRoute(r.path, _handler(api, r), methods=[r.method]) for r in ROUTES),
            HttpRoute("/api/openapi.json", describe),
            HttpRoute("/api/events", _list_events(api)),
            HttpRoute("/api/builds/{ref}/events", _build_events(api)),
            HttpRoute("/api/builds/{ref}/log/text", _log_text(api)),
            HttpRoute("/{path:path}", _static_file),
        ],
        exception_handlers={LaminaError: answer_problem},
    )


def _handler(api: Api, route: Route) -> Handler:
    def handle(request: Request) -> Response:
        if route.changes and not api.changes:
            raise PermissionDenied(
                "the UI is read-only", hint="start it with --allow-changes to change the store"
            )
        answer: Any = route.handle(api, Query(request.path_params, request.query_params))
        return JSONResponse(answer)

    return handle


def _static_file(request: Request) -> Response:
    """A file of the page. Their names are those of the directory, so none leads out of it."""
    name = request.path_params["path"] or "index.html"
    if name not in static_files():
        return PlainTextResponse("There is no such page.\n", 404)
    kind, _ = mimetypes.guess_type(name)
    answer = FileResponse(os.path.join(STATIC, name), media_type=kind)
    if name != "index.html":  # the names have digests of the content
        answer.headers["Cache-Control"] = "private, max-age=31536000, immutable"
    return answer


def _log_text(api: Api) -> Handler:
    def handle(request: Request) -> Response:
        build = api.opened(request.path_params["ref"])
        pieces: Iterator[bytes] = build.text(request.query_params.get("step", ""))
        return StreamingResponse(pieces, media_type="text/plain; charset=utf-8")

    return handle


def _list_events(api: Api) -> Handler:
    async def handle(request: Request) -> Response:
        async def events() -> AsyncIterator[bytes]:
            known, silent = await run_sync(api.fingerprint), 0.0
            yield b": open\n\n"
            while True:
                await sleep(_LIST_POLL)
                silent += _LIST_POLL
                found = await run_sync(api.fingerprint)
                if found != known:
                    known, silent = found, 0.0
                    yield _event("builds")
                elif silent >= _ALIVE:
                    silent = 0.0
                    yield b": alive\n\n"

        return StreamingResponse(events(), media_type="text/event-stream")

    return handle


def _build_events(api: Api) -> Handler:
    async def handle(request: Request) -> Response:
        ref = request.path_params["ref"]
        build = await run_sync(api.opened, ref)

        async def events() -> AsyncIterator[bytes]:
            known, silent = -1, 0.0
            while True:
                version, complete = build.version, build.complete
                if version != known:
                    known, silent = version, 0.0
                    yield _event("build")
                elif silent >= _ALIVE:
                    silent = 0.0
                    yield b": alive\n\n"
                if complete:
                    yield _event("complete")
                    return
                await sleep(_BUILD_POLL)
                silent += _BUILD_POLL

        return StreamingResponse(events(), media_type="text/event-stream")

    return handle


def _event(name: str) -> bytes:
    return f"event: {name}\ndata: \n\n".encode()

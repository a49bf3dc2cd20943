"""A registry with faulty responses: slow, wrong, endless, or none."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from tests.campaigns.bad_documents import changed
from tests.registry.registry_server import Handler, reset, stall, status, truncate

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

_STATUSES = (100, 204, 206, 301, 302, 307, 400, 401, 403, 404, 416, 418, 429, 500, 502, 503, 999)
_TYPES = ("text/html", "", "application/vnd.oci.image.index.v1+json", "x" * 9000, "a/b; c=\udcff")
_MANY = 1 << 40


def dribble(handler: Handler) -> None:
    """Send single bytes, slowly, of a response that is announced as long."""
    handler.send_response(200)
    handler.send_header("Content-Length", "4000")
    handler.end_headers()
    try:
        while not handler.owner.stop.wait(0.1):
            handler.wfile.write(b" ")
    except OSError:
        handler.close_connection = True


def endless(handler: Handler) -> None:
    """Send bytes without end."""
    handler.send_response(200)
    handler.send_header("Content-Length", str(_MANY))
    handler.send_header("Content-Type", "application/vnd.oci.image.manifest.v1+json")
    handler.end_headers()
    until = time.monotonic() + 5
    try:
        while time.monotonic() < until and not handler.owner.stop.is_set():
            handler.wfile.write(bytes(1 << 16))
        handler.drop()
    except OSError:
        handler.close_connection = True


def faults(chance: random.Random) -> Callable[[Handler], bool]:
    """The fault for each request: most are forwarded, some get a faulty response."""
    rate = chance.choice((0.1, 0.3, 1.0))

    def answer(handler: Handler) -> bool:
        if chance.random() >= rate:
            return False
        action = chance.choice(_actions(chance))
        try:
            action(handler)
        # the client has disconnected, or the value is invalid in a header
        except (OSError, ValueError):
            handler.close_connection = True
        return True

    return answer


def _actions(chance: random.Random) -> tuple[Callable[[Handler], object], ...]:
    location = chance.choice(("", "/", "//", "http://[", "ftp://x/", "/v2/", "http://127.0.0.1:1/"))
    bearer = chance.choice(('Bearer realm="x"', "Bearer", "Basic", "=,=", 'Bearer realm="' * 500))
    return (
        reset,
        stall,
        dribble,
        endless,
        truncate(chance.choice((0, 1, 100))),
        status(chance.choice(_STATUSES), Location=location, WWW_Authenticate=bearer),
        status(307, Location=location),
        status(401, WWW_Authenticate=bearer),
        lambda handler: handler.reply(200, _document(chance), Content_Type=chance.choice(_TYPES)),
        lambda handler: handler.reply(200, b"x" * 50, Docker_Content_Digest="sha256:" + "0" * 64),
        lambda handler: handler.reply(200, b"[" * 100_000, Content_Type="application/json"),
        lambda handler: handler.wfile.write(b"HTTP/1.1 200\r\n" + b"a: b\r\n" * 5000 + b"\r\n"),
        lambda handler: handler.wfile.write(b"\xff" * 70_000),
    )


def _document(chance: random.Random) -> bytes:
    kind = "application/vnd.oci.image.manifest.v1+json"
    entry = {"mediaType": kind, "digest": "sha256:" + "1" * 64, "size": 5, "platform": {"os": "x"}}
    document = {
        "schemaVersion": 2,
        "mediaType": kind,
        "config": entry,
        "layers": [entry],
        "manifests": [entry],
    }
    return json.dumps(changed(chance, document)).encode("utf-8", "surrogateescape")

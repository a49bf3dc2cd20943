"""Messages of the Debug Adapter Protocol: JSON after a header with its length."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any, BinaryIO

from lamina.base.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping

_LENGTH = b"content-length"
_LIMIT = 16 << 20
_MOST_HEADERS = 64


class Connection:
    """A client's requests, and the responses and events for it. Sending is thread-safe."""

    def __init__(self, reading: BinaryIO, writing: BinaryIO) -> None:
        self._reading = reading
        self._writing = writing
        self._lock = threading.Lock()
        self._sequence = 0

    def receive(self) -> dict[str, Any] | None:
        """The next request, None if the client has closed the connection.

        Raises InvalidInput for a malformed message.
        """
        length = self._header()
        if length is None:
            return None
        if not 0 < length <= _LIMIT:
            raise InvalidInput(f"a message of {length} bytes: the limit is {_LIMIT}")
        data = self._reading.read(length)
        if len(data) < length:
            return None
        try:
            message = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise InvalidInput(f"a message is not JSON: {error}") from error
        if not isinstance(message, dict) or not isinstance(message.get("command"), str):
            raise InvalidInput("a message is not a request")
        return message

    def respond(self, request: Mapping[str, Any], body: Mapping[str, Any] | None = None) -> None:
        self._send(self._answer(request, success=True, body=body or {}))

    def refuse(self, request: Mapping[str, Any], reason: str) -> None:
        """Answer that a request failed."""
        self._send(self._answer(request, success=False, message=reason))

    def event(self, name: str, body: Mapping[str, Any] | None = None) -> None:
        self._send({"type": "event", "event": name, "body": body or {}})

    def _answer(self, request: Mapping[str, Any], **members: object) -> dict[str, Any]:
        return {
            "type": "response",
            "request_seq": request.get("seq", 0),
            "command": request["command"],
            **members,
        }

    def _header(self) -> int | None:
        length = 0
        for _ in range(_MOST_HEADERS):
            line = self._reading.readline(_LIMIT)
            if not line:
                return None
            if not line.strip():
                return length
            name, _, value = line.partition(b":")
            if name.strip().lower() == _LENGTH and value.strip().isdigit():
                length = int(value)
        raise InvalidInput("a message has too many headers")

    def _send(self, message: dict[str, Any]) -> None:
        with self._lock:
            self._sequence += 1
            data = json.dumps({"seq": self._sequence, **message}, ensure_ascii=False).encode(
                "utf-8", "replace"
            )
            try:
                self._writing.write(b"Content-Length: %d\r\n\r\n%s" % (len(data), data))
                self._writing.flush()
            except (OSError, ValueError):
                return  # the client is gone; reading reports it

"""A client of a daemon like buildctl: a session, `Solve`, and `Status` concurrently."""

from __future__ import annotations

import operator
import os
import threading
from typing import TYPE_CHECKING

from lamina.api import control
from lamina.api.message import receive, unary
from lamina.api.progress import StatusResponse
from lamina.client.contract import SessionProviders
from lamina.client.providers import EmbeddedSession
from lamina.session.opening import new_session_id, open_session
from lamina.session.services import health_service, session_services
from lamina.wire.protobuf import encode

if TYPE_CHECKING:
    from pathlib import Path

    from lamina.wire.client import GrpcChannel


def solve(channel: GrpcChannel, folder: Path, ref: str = "", **attributes: str) -> None:
    """Build a Dockerfile in its directory. Raises StatusError."""
    session = EmbeddedSession(
        {"context": str(folder), "dockerfile": str(folder)}, SessionProviders()
    )
    session_id = new_session_id()
    request = control.SolveRequest(
        ref=ref or os.urandom(8).hex(),
        session=session_id,
        frontend="dockerfile.v0",
        frontend_attrs=tuple(sorted(attributes.items())),
    )
    with open_session(channel, {**session_services(session), **health_service()}, session_id):
        unary(channel, control.SOLVE, request, control.SolveResponse, control.SCHEMA)


def progress(channel: GrpcChannel, ref: str) -> StatusResponse:
    """All of a build's progress, to its end. Raises StatusError."""
    found = StatusResponse()
    with channel.open(control.STATUS) as call:
        call.send(encode(control.StatusRequest(ref), control.SCHEMA))
        call.finish_sending()
        while (part := receive(call, StatusResponse, control.SCHEMA)) is not None:
            found = StatusResponse(*map(operator.add, found, part))
    return found


def output(progress: StatusResponse) -> bytes:
    return b"".join(line.msg for line in progress.logs)


class SolvingThread:
    """A running build, on a separate connection. `error` is the error that stopped it, after
    `join`."""

    def __init__(self, channel: GrpcChannel, folder: Path, ref: str, **attributes: str) -> None:
        self.error: BaseException | None = None
        self.channel = channel
        self._thread = threading.Thread(
            target=self._run, args=(folder, ref, attributes), daemon=True
        )
        self._thread.start()

    def _run(self, folder: Path, ref: str, attributes: dict[str, str]) -> None:
        try:
            with self.channel:
                solve(self.channel, folder, ref, **attributes)
        except BaseException as error:
            self.error = error

    def wait_for_output(self, ref: str, text: bytes) -> None:
        """Until the build's progress has `text`."""
        with self.channel.open(control.STATUS) as call:
            call.send(encode(control.StatusRequest(ref), control.SCHEMA))
            call.finish_sending()
            seen = b""
            while text not in seen:
                part = receive(call, StatusResponse, control.SCHEMA)
                assert part is not None, f"the build ended without {text!r}"
                seen += output(part)

    def join(self) -> None:
        self._thread.join(60)
        assert not self._thread.is_alive()

"""Builds in a daemon whose frontend runs in this client.

The client starts a build without a frontend and calls the gateway service with the build's ref
(BuildKit's `client.Build`).
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from lamina.api import control, gateway
from lamina.api.message import unary
from lamina.base.errors import LaminaError
from lamina.client.bridge_connection import return_result
from lamina.gateway.client import GatewayClient
from lamina.wire.contract import StatusError

if TYPE_CHECKING:
    from collections.abc import Callable

    from lamina.system.cancel import Cancellation
    from lamina.wire.contract import Channel

_SUBREQUESTS = "moby.buildkit.frontend.subrequests"


def ask_frontend(
    channel: Channel,
    build: control.SolveRequest,
    frontend: str,
    question: str,
    cancel: Cancellation,
) -> dict[str, bytes]:
    """The metadata of a frontend's answer to a request such as `frontend.outline`.

    Raises StatusError, LaminaError.
    """
    attributes = dict(build.frontend_attrs)
    capabilities = filter(None, (attributes.get("frontend.caps", ""), _SUBREQUESTS))
    attributes |= {"requestid": question, "frontend.caps": ",".join(capabilities)}
    metadata: dict[str, bytes] = {}

    def ask(client: GatewayClient) -> gateway.Result:
        metadata.update(client.run_frontend(frontend, attributes, {}).metadata)
        return gateway.Result(ref=gateway.Ref())

    run_in_client(channel, build, ask, cancel)
    return metadata


def run_in_client(
    channel: Channel,
    build: control.SolveRequest,
    frontend: Callable[[GatewayClient], gateway.Result],
    cancel: Cancellation,
) -> control.SolveResponse:
    """Start a build, run its frontend in this thread, and wait for the outputs.

    Raises StatusError (of the build), LaminaError (of the frontend).
    """
    solve = _Solve(channel, build, cancel)
    solve.start()
    client = GatewayClient(channel, build=build.ref, cancel=cancel)
    try:
        return_result(client, frontend)
    except LaminaError as error:
        solve.wait()
        # If the build has not started, its own error explains more than that of the gateway.
        raise solve.failure or error from None
    finally:
        solve.wait()
    if solve.failure is not None:
        raise solve.failure
    return solve.response


class _Solve:
    """The call of `Control.Solve`, in a thread."""

    def __init__(
        self, channel: Channel, request: control.SolveRequest, cancel: Cancellation
    ) -> None:
        self.failure: StatusError | None = None
        self.response = control.SolveResponse()
        self._channel = channel
        self._request = request
        self._cancel = cancel
        self._thread = threading.Thread(target=self._run, name="solve", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wait(self) -> None:
        self._thread.join()

    def _run(self) -> None:
        try:
            self.response = unary(
                self._channel,
                control.SOLVE,
                self._request,
                control.SolveResponse,
                control.SCHEMA,
                cancel=self._cancel,
            )
        except StatusError as error:
            self.failure = error

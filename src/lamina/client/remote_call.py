"""Subrequests about a Dockerfile, sent as a frontend that runs in the client.

The build has no frontend: the client that calls the gateway with the build's ref is its frontend.
It forwards the subrequest to `dockerfile.v0`, and returns.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from lamina.api import control, gateway
from lamina.api.message import unary
from lamina.api.status import status_of
from lamina.client.frontend_attributes import FRONTEND
from lamina.wire.contract import StatusError

if TYPE_CHECKING:
    from lamina.system.cancel import Cancellation
    from lamina.wire.contract import Channel

_BUILD_ID = "buildkit-controlapi-buildid"
_SUBREQUESTS = "moby.buildkit.frontend.subrequests"


def ask_frontend(
    channel: Channel, build: control.SolveRequest, question: str, cancel: Cancellation
) -> dict[str, bytes]:
    """The metadata of the frontend's answer. Raises StatusError."""
    solve = _Solve(channel, build, cancel)
    solve.start()
    client = _GatewayClient(channel, build.ref, cancel)
    try:
        attributes = dict(build.frontend_attrs)
        capabilities = filter(None, (attributes.get("frontend.caps", ""), _SUBREQUESTS))
        attributes |= {"requestid": question, "frontend.caps": ",".join(capabilities)}
        answer = client.solve(attributes)
        client.finish(gateway.ReturnRequest(gateway.Result(ref=gateway.Ref())))
    except StatusError as error:
        client.fail(error)
        solve.wait()
        # If the build has not begun, its own error says more than the gateway's.
        raise solve.failure or error from None
    solve.wait()
    if solve.failure is not None:
        raise solve.failure
    return answer


class _Solve:
    """The build that the subrequest belongs to, in a thread."""

    def __init__(
        self, channel: Channel, request: control.SolveRequest, cancel: Cancellation
    ) -> None:
        self.failure: StatusError | None = None
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
            unary(
                self._channel,
                control.SOLVE,
                self._request,
                control.SolveResponse,
                control.SCHEMA,
                cancel=self._cancel,
            )
        except StatusError as error:
            self.failure = error


class _GatewayClient:
    """The gateway API, called as the frontend of one build."""

    def __init__(self, channel: Channel, ref: str, cancel: Cancellation) -> None:
        self._channel = channel
        self._metadata = ((_BUILD_ID, ref),)
        self._cancel = cancel

    def solve(self, attributes: dict[str, str]) -> dict[str, bytes]:
        """Send the subrequest to the Dockerfile frontend. Returns the metadata of its result."""
        request = gateway.SolveRequest(
            frontend=FRONTEND,
            frontend_opt=tuple(sorted(attributes.items())),
            allow_result_return=True,
            allow_result_array_ref=True,
        )
        answer = self._ask(gateway.SOLVE, request, gateway.SolveResponse)
        return dict(answer.result.metadata) if answer.result is not None else {}

    def finish(self, request: gateway.ReturnRequest) -> None:
        self._ask(gateway.RETURN, request, gateway.ReturnResponse)

    def fail(self, error: StatusError) -> None:
        """Return an error. It is lost if the build has already ended."""
        try:
            self.finish(gateway.ReturnRequest(error=status_of(error)))
        except StatusError:
            return

    def _ask(self, method: str, request: Any, response: type[Any]) -> Any:
        return unary(
            self._channel,
            method,
            request,
            response,
            gateway.SCHEMA,
            metadata=self._metadata,
            cancel=self._cancel,
        )

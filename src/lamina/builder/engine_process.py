"""The process of an embedded builder's engine: `python -m lamina.builder.engine_process ROOT FD`.

It serves its parent over a socket and ends with it.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any

from lamina.base.errors import Cancelled, Internal, LaminaError
from lamina.builder.engine_calls import (
    CALL,
    Opened,
    Outcome,
    Request,
    TargetEvent,
    dump,
    load,
)
from lamina.client.embedded import EmbeddedBuilder
from lamina.daemon.gateway import GatewayService
from lamina.stores.store import open_store
from lamina.system.cancel import Cancellation
from lamina.wire.contract import Peer, StatusError
from lamina.wire.server import GrpcServer
from lamina.wire.transport import SocketTransport

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lamina.base.events import Event, EventSink
    from lamina.client.frontend_runs import Serve
    from lamina.engine.frontends.llb_bridge import LlbBridge
    from lamina.wire.contract import ServerCall

    Send = Callable[[Event | Opened | Outcome | TargetEvent], None]


def main(root: str, descriptor: int) -> None:
    """Serve the calls of the parent until it closes its end of the socket."""
    connected = socket.socket(fileno=descriptor)
    with ExitStack() as owned:
        opened: EmbeddedBuilder | LaminaError
        try:
            store = owned.enter_context(open_store(root))
            opened = owned.enter_context(closing(EmbeddedBuilder(store)))
            # Before the first thread: it takes a mount namespace.
            _ = opened.engine
        except LaminaError as error:
            opened = error
        service = EngineService(opened)
        with GrpcServer(SocketTransport(connected), service.handlers(), Peer("parent")) as server:
            server.wait()
            if isinstance(opened, EmbeddedBuilder):
                opened.hurry()


class EngineService:
    """Serves one builder. `opened` is the error of every call if there is no builder."""

    def __init__(self, opened: EmbeddedBuilder | LaminaError) -> None:
        self._opened = opened
        self._gateway = GatewayService()

    def handlers(self) -> dict[str, Any]:
        return {CALL: self.call, **self._gateway.handlers()}

    def call(self, call: ServerCall) -> None:
        data = call.receive()
        if data is None:
            return
        request: Request = load(data)
        cancel = Cancellation(call.cancel)
        reader = threading.Thread(target=_cancel_on_request, args=(call, cancel), daemon=True)
        reader.start()
        sending = threading.Lock()

        def send(value: Event | Opened | Outcome | TargetEvent) -> None:
            # The caller may have gone: then `call.cancel` ends the work.
            try:
                with sending:
                    call.send(dump(value))
            except StatusError:
                return

        try:
            outcome = Outcome(self._run(request, send, cancel))
        except LaminaError as error:
            outcome = Outcome(error=error)
        except Exception as error:
            sys.excepthook(type(error), error, error.__traceback__)
            outcome = Outcome(error=Internal(f"{request.method}: {error!r}"))
        send(outcome)
        call.hang_up()
        reader.join()

    def _run(self, request: Request, send: Send, cancel: Cancellation) -> Any:
        builder = self._opened
        if isinstance(builder, LaminaError):
            raise builder.again()
        match request.method:
            case "build_in_client":
                [made] = request.arguments
                return builder.build_bridged(made, self._serve(send, cancel), send, cancel)
            case "plan_in_client":
                [made] = request.arguments
                return builder.plan_bridged(made, self._serve(send, cancel), cancel)
            case "build_all":
                [requests] = request.arguments
                return builder.build_all(requests, lambda name: _target_sink(send, name), cancel)
        options = dict(request.options)
        if request.events:
            options["events"] = send
        if request.cancel:
            options["cancel"] = cancel
        return getattr(builder, request.method)(*request.arguments, **options)

    def _serve(self, send: Send, cancel: Cancellation) -> Serve:
        """Connects a bridge with a frontend of the caller."""

        def serve(bridge: LlbBridge, attributes: Mapping[str, str]) -> None:
            ref = os.urandom(16).hex()
            with self._gateway.registered(ref, bridge):
                send(Opened(ref, attributes))
                try:
                    bridge.wait(cancel)
                except (StatusError, Cancelled):
                    return  # raised again by the caller of `serve`

        return serve


def _target_sink(send: Send, target: str) -> EventSink:
    return lambda event: send(TargetEvent(target, event))


def _cancel_on_request(call: ServerCall, cancel: Cancellation) -> None:
    try:
        while call.receive() is not None:
            cancel.cancel()
    except StatusError:
        return


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))

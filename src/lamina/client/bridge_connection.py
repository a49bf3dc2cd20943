"""A frontend in this process, connected with the bridge of its build by a pair of sockets."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from lamina.api.failures import from_status, to_status
from lamina.attest.contract import FrontendCall
from lamina.base.errors import LaminaError
from lamina.engine.frontends.llb_bridge import LlbBridge
from lamina.gateway.client import GatewayClient
from lamina.wire.client import GrpcChannel
from lamina.wire.contract import Code, Peer, StatusError
from lamina.wire.server import GrpcServer
from lamina.wire.transport import SocketTransport

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lamina.api.gateway import Result
    from lamina.engine.build import Build
    from lamina.engine.build_result import BuildResult
    from lamina.system.cancel import Cancellation


def run_bridged(
    build: Build,
    serve: Callable[[LlbBridge, Mapping[str, str]], None],
    attributes: Mapping[str, str],
) -> BuildResult:
    """The result that a frontend returns to a bridge of a build. `serve` connects it.

    Raises the frontend's error as a LaminaError.
    """
    bridge = LlbBridge(build, FrontendCall("", attributes, {}), {}, build.workers)
    try:
        serve(bridge, attributes)
        return bridge.wait(build.cancel)
    except StatusError as error:
        raise from_status(error) from error
    finally:
        bridge.close()


def run_on_bridge(
    bridge: LlbBridge, frontend: Callable[[GatewayClient], Result], cancel: Cancellation
) -> None:
    """Run a frontend in this thread. Its result or error is returned to the bridge."""
    ours, theirs = socket.socketpair()
    with (
        GrpcServer(SocketTransport(ours), bridge.handlers(), Peer("client")),
        GrpcChannel(SocketTransport(theirs)) as channel,
    ):
        return_result(GatewayClient(channel, cancel=cancel), frontend)


def return_result(client: GatewayClient, frontend: Callable[[GatewayClient], Result]) -> None:
    """Run a frontend in this thread, and return its result or its error. Raises the error too."""
    try:
        client.finish(frontend(client))
    except LaminaError as error:
        client.fail(to_status(error))
        raise
    except BaseException:
        client.fail(StatusError(Code.UNKNOWN, "the frontend failed"))
        raise

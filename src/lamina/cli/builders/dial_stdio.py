"""`lamina dial-stdio`: the API of a builder on standard input and output.

`ssh://` addresses run it on the other machine.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from lamina.base.platform import parse_platform
from lamina.cli.opening import chosen_builder
from lamina.client.builders.endpoint import endpoint_of
from lamina.system.descriptors import write_all
from lamina.wire.address import open_transport

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lamina.base.platform import Platform
    from lamina.cli.flags import Parsed
    from lamina.client.builders.node_group import Node, NodeGroup
    from lamina.wire.contract import Transport

_PIECE = 256 << 10


def run(parsed: Parsed) -> int:
    """Connect until either side ends."""
    group = chosen_builder(parsed)
    if group.embedded:
        return _serve(group.nodes[0].endpoint)
    platform = parsed.text("platform") or os.environ.get("DOCKER_DEFAULT_PLATFORM", "")
    address, tls, server_name = endpoint_of(_node(group, platform))
    forward(open_transport(address, tls, server_name=server_name))
    return 0


def _node(group: NodeGroup, platform: str) -> Node:
    """The node that builds a platform: one that is fixed to it, or runs it, or the first."""
    if not platform or len(group.nodes) == 1:
        return group.nodes[0]
    from lamina.client.builders.node_state import node_states
    from lamina.client.builders.split_request import assign

    wanted = str(parse_platform(platform))
    supported: Sequence[Sequence[Platform]] = [s.platforms for s in node_states(group, 20.0)]
    (index,) = assign([wanted], [node.platforms for node in group.nodes], supported)
    return group.nodes[index]


def forward(transport: Transport, stdin: int = 0, stdout: int = 1) -> None:
    """Forward bytes in both directions, until the peer ends or standard input does."""

    def send() -> None:
        with suppress(OSError):
            while data := os.read(stdin, _PIECE):
                transport.send(data)
        transport.close()

    threading.Thread(target=send, name="stdin", daemon=True).start()
    try:
        with suppress(OSError):
            while data := transport.receive(_PIECE):
                write_all(stdout, data)
    finally:
        transport.close()


def _serve(root: str) -> int:
    """Serve one connection with an engine in this process."""
    from lamina.daemon.config import DaemonConfig, LogConfig
    from lamina.daemon.log import Log
    from lamina.daemon.server import serve_transport
    from lamina.wire.transport import PipeTransport

    serve_transport(DaemonConfig(), root, Log(LogConfig(level="error")), PipeTransport(0, 1))
    return 0

"""Opens the session of a client at a daemon."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lamina.api.control import SESSION
from lamina.api.session import KEY_ID, KEY_METHOD, KEY_NAME, KEY_SHARED_KEY
from lamina.wire.contract import Peer
from lamina.wire.server import GrpcServer
from lamina.wire.transport import TunnelTransport

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lamina.wire.contract import Channel, Handler, Metadata


def new_session_id() -> str:
    """A new unique ID."""
    return os.urandom(16).hex()


@contextmanager
def open_session(
    channel: Channel,
    handlers: Mapping[str, Handler],
    session_id: str,
    *,
    name: str = "lamina",
    shared_key: str = "",
) -> Iterator[GrpcServer]:
    """Serve `handlers` to the daemon at the other end of `channel` for the block.

    Args:
        shared_key: identifies the copies of directories that the daemon may update: the same for
            builds of one context on one machine, and for nothing else.

    Raises StatusError.
    """
    metadata: Metadata = (
        (KEY_ID, session_id),
        (KEY_NAME, name),
        (KEY_SHARED_KEY, shared_key),
        *((KEY_METHOD, method) for method in sorted(handlers)),
    )
    with (
        channel.open(SESSION, metadata) as call,
        GrpcServer(TunnelTransport(call), handlers, Peer("session")) as server,
    ):
        yield server

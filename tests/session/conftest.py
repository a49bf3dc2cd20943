"""The two ends of a session: the client's services behind a tunnel through a call."""

from __future__ import annotations

import socket
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from lamina.wire.client import GrpcChannel
from lamina.wire.contract import Peer
from lamina.wire.server import GrpcServer
from lamina.wire.transport import SocketTransport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from lamina.wire.contract import Channel, Handler

    Connect = Callable[[Mapping[str, Handler]], Channel]


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    left = [thread for thread in threading.enumerate() if thread not in before]
    for thread in left:
        thread.join(5)
    assert not [thread for thread in left if thread.is_alive()]


@pytest.fixture
def connect() -> Iterator[Connect]:
    """A channel to some handlers, over a socket."""
    with ExitStack() as stack:

        def open_channel(handlers: Mapping[str, Handler]) -> Channel:
            near, far = socket.socketpair()
            stack.enter_context(GrpcServer(SocketTransport(far), handlers, Peer("test")))
            return stack.enter_context(GrpcChannel(SocketTransport(near)))

        yield open_channel

"""Non-blocking sends of transports on file descriptors."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest

from lamina.wire.transport import PipeTransport, SocketTransport

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lamina.wire.contract import Transport

Pair = tuple["Transport", "Transport"]


@pytest.fixture(params=["socket", "pipes"])
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    transports: Pair
    if request.param == "socket":
        ours, theirs = socket.socketpair()
        transports = SocketTransport(ours), SocketTransport(theirs)
    else:
        (there_read, there_write), (back_read, back_write) = os.pipe(), os.pipe()
        transports = (
            PipeTransport(back_read, there_write),
            PipeTransport(there_read, back_write),
        )
    yield transports
    for transport in transports:
        transport.close()


def test_unsent_bytes_stay_with_the_caller(pair: Pair) -> None:
    ours, theirs = pair
    assert ours.send_some(b"first") == 5
    piece = bytes(range(256)) * 64
    sent = b"first"
    while (amount := ours.send_some(piece)) == len(piece):
        sent += piece
    sent += piece[:amount]
    assert ours.send_some(piece) == 0
    received = b""
    while len(received) < len(sent):
        received += theirs.receive(1 << 20)
    assert received == sent
    assert ours.send_some(piece) == len(piece)


def test_a_closed_stream_sends_nothing(pair: Pair) -> None:
    ours, theirs = pair
    theirs.close()
    assert ours.send_some(b"x") == 0
    ours.close()
    assert ours.send_some(b"x") == 0

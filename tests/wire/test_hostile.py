"""Clients that violate or abuse the protocol: only their connection ends."""

from __future__ import annotations

import gzip
import socket
import struct
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lamina.wire import frames as h2
from lamina.wire.address import dial
from lamina.wire.contract import Peer, call_unary
from lamina.wire.exchange import MAX_STREAMS, STREAM_WINDOW
from lamina.wire.frames import ErrorCode, Frame, FrameReader
from lamina.wire.headers import BlockDecoder, Fields, encode_block
from lamina.wire.listen import Listener
from lamina.wire.server import GrpcServer
from lamina.wire.transport import SocketTransport
from tests.wire.wire_service import HANDLERS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FIELDS: Fields = [
    (b":method", b"POST"),
    (b":scheme", b"http"),
    (b":path", b"/test.Service/Echo"),
    (b"te", b"trailers"),
    (b"content-type", b"application/grpc"),
]
HELLO = h2.PREFACE + h2.settings_frame(())


def request(
    stream: int, path: bytes = b"/test.Service/Echo", *, end: bool = False, **extra: bytes
) -> bytes:
    fields = [(name, path if name == b":path" else value) for name, value in FIELDS]
    fields += [(name.replace("_", "-").encode(), value) for name, value in extra.items()]
    return h2.header_frames(stream, encode_block(fields), end=end, max_frame=16384)


def data(stream: int, payload: bytes, *, end: bool = False) -> bytes:
    return h2.head(len(payload), h2.DATA, int(end), stream) + payload


def message(payload: bytes, *, compressed: bool = False) -> bytes:
    return struct.pack(">BL", compressed, len(payload)) + payload


class RawClient:
    """A socket that sends any bytes, and decodes the answers."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(10)
        self.socket.connect(str(path))
        self._frames = FrameReader(1 << 20, 1 << 20)
        self._decoder = BlockDecoder(1 << 20)
        self._read: list[Frame] = []

    def send(self, *parts: bytes) -> None:
        """Send as long as the server reads."""
        with suppress(OSError):
            self.socket.sendall(b"".join(parts))

    def next(self, *types: int) -> Frame | None:
        """The next frame of these types; None when the server has closed the connection."""
        while True:
            while self._read:
                frame = self._read.pop(0)
                if frame.type in types:
                    return frame
            try:
                received = self.socket.recv(65536)
            except ConnectionResetError:
                return None
            if not received:
                return None
            self._read = self._frames.feed(received)

    def goodbye(self) -> ErrorCode:
        """The reason why the server ends the connection, which it must."""
        frame = self.next(h2.GOAWAY)
        assert frame is not None, "the connection ended without a reason"
        code = ErrorCode(h2.read_goaway(frame.payload)[1])
        assert self.next(h2.GOAWAY) is None
        return code

    def trailers(self) -> dict[bytes, bytes]:
        """The next header block that ends a stream."""
        while (frame := self.next(h2.HEADERS)) is not None:
            fields = dict(self._decoder.decode(frame.payload))
            if frame.flags & h2.END_STREAM:
                return fields
        raise AssertionError("the connection ended")


@pytest.fixture
def client(tmp_path: Path) -> Iterator[RawClient]:
    """A raw client of a server, which must still serve other clients afterwards."""
    address = f"unix://{tmp_path}/s"
    with Listener(address, HANDLERS), dial(address) as bystander:
        raw = RawClient(tmp_path / "s")
        with raw.socket:
            yield raw
        assert call_unary(bystander, "/test.Service/Echo", b"on") == b"on"
        with dial(address) as later:
            assert call_unary(later, "/test.Service/Echo", b"on") == b"on"


@pytest.mark.parametrize(
    "first", [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x02\x00", bytes(100), b"PRI * X"]
)
def test_not_http2(client: RawClient, first: bytes) -> None:
    client.send(first)
    assert client.goodbye() is ErrorCode.PROTOCOL_ERROR


HUGE_WINDOW = h2.window_frame(0, h2.MAX_WINDOW)


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        (h2.head(1 << 20, h2.DATA, 0, 1), ErrorCode.FRAME_SIZE_ERROR),
        (h2.head(4, h2.HEADERS, 4, 1) + b"\xff\xff\xff\xff", ErrorCode.COMPRESSION_ERROR),
        (request(1, end=True) + request(1), ErrorCode.STREAM_CLOSED),
        (request(1, end=True) + data(1, b"x"), ErrorCode.STREAM_CLOSED),
        (request(2), ErrorCode.PROTOCOL_ERROR),
        (data(1, b"x"), ErrorCode.PROTOCOL_ERROR),
        (h2.reset_frame(9, ErrorCode.CANCEL), ErrorCode.PROTOCOL_ERROR),
        (h2.window_frame(9, 1), ErrorCode.PROTOCOL_ERROR),
        (h2.window_frame(0, 0), ErrorCode.PROTOCOL_ERROR),
        (HUGE_WINDOW, ErrorCode.FLOW_CONTROL_ERROR),
        (request(1) + h2.window_frame(1, h2.MAX_WINDOW), ErrorCode.FLOW_CONTROL_ERROR),
        (h2.head(0, h2.PUSH_PROMISE, 0, 1), ErrorCode.PROTOCOL_ERROR),
        (h2.head(0, h2.HEADERS, 0, 1) + h2.ping_frame(bytes(8)), ErrorCode.PROTOCOL_ERROR),
    ],
)  # fmt: skip
def test_broken_frames(client: RawClient, frames: bytes, code: ErrorCode) -> None:
    client.send(HELLO, frames)
    assert client.goodbye() is code


def test_a_truncated_frame(client: RawClient) -> None:
    client.send(HELLO, request(1), data(1, bytes(50))[:20])
    client.socket.shutdown(socket.SHUT_WR)
    assert client.goodbye() is ErrorCode.NO_ERROR


def test_endless_headers(client: RawClient) -> None:
    piece = h2.head(16384, h2.CONTINUATION, 0, 1) + bytes(16384)
    client.send(HELLO, h2.head(0, h2.HEADERS, 0, 1))
    for _ in range(100):
        client.send(piece)
    client.send(piece[:9])
    assert client.next(h2.HEADERS) is None


def test_ten_thousand_rapid_resets(client: RawClient) -> None:
    client.send(HELLO)
    for number in range(1, 20000, 2):
        client.send(request(number), h2.reset_frame(number, ErrorCode.CANCEL))
    assert client.next(h2.DATA) is None  # gone
    running = [thread for thread in threading.enumerate() if thread.name.startswith("wire-call")]
    assert len(running) <= MAX_STREAMS


def test_more_streams_than_allowed(client: RawClient) -> None:
    client.send(HELLO)
    for number in range(MAX_STREAMS + 1):
        client.send(request(2 * number + 1, b"/test.Service/Silent"))
    refused = client.next(h2.RST_STREAM)
    assert refused is not None
    assert refused.stream == 2 * MAX_STREAMS + 1
    assert h2.read_number(refused.payload) == ErrorCode.REFUSED_STREAM


@pytest.mark.parametrize("frame", [h2.ping_frame(bytes(8)), h2.settings_frame(())])
def test_a_client_that_does_not_read_responses_is_disconnected(
    client: RawClient, frame: bytes
) -> None:
    client.send(HELLO)
    for _ in range(1000):
        client.send(frame * 1000)
    seen = 0
    while client.next(h2.PING, h2.SETTINGS) is not None:
        seen += 1
    assert seen < 900_000


def test_pings_of_a_reading_client_are_always_answered(client: RawClient) -> None:
    client.send(HELLO)
    for number in range(5000):
        client.send(h2.ping_frame(struct.pack(">Q", number)))
        answer = client.next(h2.PING)
        assert answer is not None
        assert answer.payload == struct.pack(">Q", number)
        assert answer.flags == h2.ACK


def test_more_data_than_a_window(client: RawClient) -> None:
    client.send(HELLO, request(1, b"/test.Service/Silent"))
    for _ in range(STREAM_WINDOW // 16384 + 1):
        client.send(data(1, bytes(16384)))
    assert client.goodbye() is ErrorCode.FLOW_CONTROL_ERROR


def test_single_bytes_cost_no_more_than_others(client: RawClient) -> None:
    """A window of one-byte frames is stored joined, and read at once."""
    amount = 200_000
    client.send(HELLO, request(1, b"/test.Service/Total"))
    client.send(data(1, message(bytes(amount))[:5]))
    for _ in range(amount // 1000):
        client.send(data(1, b"x") * 1000)
    client.send(data(1, b"", end=True))
    answer = client.next(h2.DATA)
    assert answer is not None
    assert answer.payload == message(b"%d" % amount)


@pytest.mark.parametrize("change", [(b":method", b"GET"), (b"content-type", b"text/html")])
def test_requests_that_are_not_grpc(client: RawClient, change: tuple[bytes, bytes]) -> None:
    fields = [item if item[0] != change[0] else change for item in FIELDS]
    client.send(HELLO, h2.header_frames(1, encode_block(fields), end=True, max_frame=16384))
    assert client.trailers()[b"grpc-status"] == b"13"


def test_malformed_headers_end_one_stream(client: RawClient) -> None:
    block = encode_block([*FIELDS, (b"connection", b"close")])
    client.send(HELLO, h2.header_frames(1, block, end=True, max_frame=16384))
    reset = client.next(h2.RST_STREAM)
    assert reset is not None
    assert h2.read_number(reset.payload) == ErrorCode.PROTOCOL_ERROR
    client.send(request(3), data(3, message(b"fine"), end=True))
    assert client.trailers()[b"grpc-status"] == b"0"


@pytest.mark.parametrize(
    ("extra", "payload", "status"),
    [
        ({}, message(b"x")[:3], b"13"),
        ({}, message(b"x" * 10)[:9], b"13"),
        ({}, struct.pack(">BL", 0, 1 << 31), b"8"),
        ({}, message(b"x", compressed=True), b"13"),
        ({"grpc_encoding": b"gzip"}, message(b"not gzip", compressed=True), b"13"),
        (
            {"grpc_encoding": b"gzip"},
            message(gzip.compress(b"x", mtime=0)[:-9], compressed=True),
            b"13",
        ),
        (
            {"grpc_encoding": b"gzip"},
            message(gzip.compress(bytes(17 << 20), mtime=0), compressed=True),
            b"8",
        ),
        (
            {"grpc_encoding": b"gzip"},
            message(gzip.compress(b"good", mtime=0), compressed=True),
            b"0",
        ),
        ({"grpc_encoding": b"gzip"}, message(b"plain"), b"0"),
        ({"grpc_encoding": b"snappy"}, message(b"x"), b"12"),
        ({"grpc_timeout": b"soon"}, message(b"x"), b"13"),
        ({"x_bin": b"!"}, message(b"x"), b"13"),
    ],
)
def test_malformed_messages(
    client: RawClient, extra: dict[str, Any], payload: bytes, status: bytes
) -> None:
    client.send(HELLO, request(1, **extra), data(1, payload, end=True))
    assert client.trailers()[b"grpc-status"] == status


FRAMES = st.builds(
    lambda kind, flags, stream, payload: h2.head(len(payload), kind, flags, stream) + payload,
    st.integers(0, 10),
    st.sampled_from([0, 1, 4, 5, 8, 0x20, 255]),
    st.sampled_from([0, 1, 2, 3, 5, h2.MAX_WINDOW]),
    st.one_of(st.binary(max_size=40), st.just(encode_block(FIELDS)), st.just(message(b"x"))),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.one_of(FRAMES, st.just(request(1)), st.binary(max_size=30)), max_size=12))
def test_anything_ends_in_order(parts: list[bytes]) -> None:
    """Whatever comes after the preface, the server's threads end with the connection."""
    ours, theirs = socket.socketpair()
    with GrpcServer(SocketTransport(theirs), HANDLERS, Peer("")) as server, ours:
        ours.sendall(HELLO + b"".join(parts))
        ours.shutdown(socket.SHUT_WR)
        assert server.wait(10)

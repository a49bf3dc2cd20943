"""Framing: decoding is the inverse of encoding, for any split of the bytes; malformed frames are
rejected."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.wire import frames as h2
from lamina.wire.frames import ConnectionFault, ErrorCode, Frame, FrameReader, Setting

streams = st.integers(1, h2.MAX_WINDOW)


def raw(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


@st.composite
def written_frames(draw: st.DrawFn) -> tuple[bytes, list[Frame]]:
    """The bytes of a frame, padded or split or followed by other frames, and the expected
    result."""
    stream = draw(streams)
    end = draw(st.booleans())
    payload = draw(st.binary(max_size=100))
    match draw(st.sampled_from(["data", "padded", "headers", "reset", "ping", "window", "noise"])):
        case "data":
            flags = h2.END_STREAM if end else 0
            return raw(0, flags, stream, payload), [Frame(0, flags, stream, payload, len(payload))]
        case "padded":
            padding = draw(st.integers(0, 255))
            flags = 0x8 | end
            padded = bytes((padding,)) + payload + bytes(padding)
            frame = Frame(0, flags, stream, payload, len(padded))
            return raw(0, flags, stream, padded), [frame]
        case "headers":
            size = draw(st.integers(1, 20))
            data = h2.header_frames(stream, payload, end=end, max_frame=size)
            return data, [Frame(1, int(end), stream, payload, len(payload))]
        case "reset":
            data = h2.reset_frame(stream, ErrorCode.CANCEL)
            return data, [Frame(3, 0, stream, b"\0\0\0\x08", 4)]
        case "ping":
            return h2.ping_frame(b"12345678", ack=end), [Frame(6, int(end), 0, b"12345678", 8)]
        case "window":
            return h2.window_frame(stream, 77), [Frame(8, 0, stream, b"\0\0\0M", 4)]
        case _:
            kind = draw(st.integers(10, 255))
            noise = raw(kind, draw(st.integers(0, 255)), stream, payload)
            return noise + raw(h2.PRIORITY, 0, stream, bytes(5)), []


@given(st.lists(written_frames(), max_size=20), st.lists(st.integers(1, 50)), st.booleans())
def test_any_split_of_the_bytes_gives_the_same_frames(
    written: list[tuple[bytes, list[Frame]]], cuts: list[int], single: bool
) -> None:
    data = b"".join(part for part, _ in written)
    expected = [frame for _, frames in written for frame in frames]
    reader = FrameReader(1 << 16, 1 << 16)
    read: list[Frame] = []
    at = 0
    for cut in [1] * len(data) if single else cuts:
        read += reader.feed(data[at : at + cut])
        at += cut
    read += reader.feed(data[at:])
    assert read == expected


@given(st.binary(max_size=200))
def test_garbage_is_read_or_refused(data: bytes) -> None:
    try:
        FrameReader(1 << 14, 1 << 14).feed(data)
    except ConnectionFault as fault:
        assert fault.code in ErrorCode


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (raw(0, 0, 1, bytes(101)), ErrorCode.FRAME_SIZE_ERROR),
        (raw(0, 0, 0, b"x"), ErrorCode.PROTOCOL_ERROR),
        (raw(0, 8, 1, b""), ErrorCode.PROTOCOL_ERROR),
        (raw(0, 8, 1, b"\x05abc"), ErrorCode.PROTOCOL_ERROR),
        (raw(1, 4, 0, b""), ErrorCode.PROTOCOL_ERROR),
        (raw(1, 0x24, 1, b"1234"), ErrorCode.FRAME_SIZE_ERROR),
        (raw(1, 0, 1, b"") + raw(0, 0, 1, b"x"), ErrorCode.PROTOCOL_ERROR),
        (raw(1, 0, 1, b"") + raw(9, 0, 3, b"x"), ErrorCode.PROTOCOL_ERROR),
        (raw(1, 0, 1, b"") + raw(99, 0, 1, b"x"), ErrorCode.PROTOCOL_ERROR),
        (raw(1, 0, 1, b"") + raw(9, 0, 1, bytes(90)) * 20, ErrorCode.ENHANCE_YOUR_CALM),
        (raw(1, 0, 1, b"") + raw(9, 0, 1, b"") * 200, ErrorCode.ENHANCE_YOUR_CALM),
        (raw(9, 4, 1, b""), ErrorCode.PROTOCOL_ERROR),
        (raw(3, 0, 1, b"123"), ErrorCode.FRAME_SIZE_ERROR),
        (raw(4, 0, 0, b"12345"), ErrorCode.FRAME_SIZE_ERROR),
        (raw(4, 1, 0, b"123456"), ErrorCode.FRAME_SIZE_ERROR),
        (raw(4, 0, 1, b""), ErrorCode.PROTOCOL_ERROR),
        (raw(5, 4, 1, bytes(4)), ErrorCode.PROTOCOL_ERROR),
        (raw(6, 0, 0, b"1234567"), ErrorCode.FRAME_SIZE_ERROR),
        (raw(6, 0, 1, b"12345678"), ErrorCode.PROTOCOL_ERROR),
        (raw(7, 0, 0, b"1234567"), ErrorCode.FRAME_SIZE_ERROR),
        (raw(8, 0, 1, b"12345"), ErrorCode.FRAME_SIZE_ERROR),
        (raw(2, 0, 1, b"1234"), ErrorCode.FRAME_SIZE_ERROR),
    ],
)
def test_malformed_frames(data: bytes, code: ErrorCode) -> None:
    with pytest.raises(ConnectionFault) as caught:
        FrameReader(100, 1000).feed(data)
    assert caught.value.code is code


def test_settings_there_and_back() -> None:
    written = [(Setting.MAX_FRAME_SIZE, 1 << 20), (Setting.ENABLE_PUSH, 0)]
    (frame,) = FrameReader(100, 100).feed(h2.settings_frame(written))
    assert h2.read_settings(frame.payload) == dict(written)


@pytest.mark.parametrize(("name", "value"), [(4, 1 << 31), (5, 1), (5, 1 << 24), (2, 2)], ids=str)
def test_settings_out_of_range(name: int, value: int) -> None:
    with pytest.raises(ConnectionFault):
        h2.read_settings(struct.pack(">HL", name, value))


def test_goaway_there_and_back() -> None:
    (frame,) = FrameReader(500, 100).feed(h2.goaway_frame(7, ErrorCode.CANCEL, "because"))
    assert h2.read_goaway(frame.payload) == (7, 8, "because")

"""HTTP/2 frames, without I/O: encoding and decoding (RFC 9113, sections 4 and 6)."""

from __future__ import annotations

from enum import IntEnum
from struct import Struct
from typing import TYPE_CHECKING

from lamina.base.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS = 0, 1, 2, 3, 4
PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 5, 6, 7, 8, 9

END_STREAM = ACK = 0x1
END_HEADERS = 0x4
_PADDED = 0x8
_PRIORITY_FLAG = 0x20

MIN_FRAME_SIZE = 16384  # every peer accepts this size, also before its settings arrive
MAX_FRAME_SIZE = (1 << 24) - 1
MAX_WINDOW = (1 << 31) - 1
INITIAL_WINDOW = 65535

_HEAD = Struct(">HBBBL")  # length (its upper 16 bits, its lower 8), type, flags, stream
_SETTING = Struct(">HL")
_NUMBER = Struct(">L")
_PAIR = Struct(">LL")
_HEAD_SIZE = 9
_UNMERGED = 1 << 16  # maximum payload of frames on stream 0


class ErrorCode(IntEnum):
    """The reason for the end of a stream or a connection (RFC 9113, section 7)."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    SETTINGS_TIMEOUT = 4
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    CONNECT_ERROR = 10
    ENHANCE_YOUR_CALM = 11
    INADEQUATE_SECURITY = 12
    HTTP_1_1_REQUIRED = 13


class Setting(IntEnum):
    HEADER_TABLE_SIZE = 1
    ENABLE_PUSH = 2
    MAX_CONCURRENT_STREAMS = 3
    INITIAL_WINDOW_SIZE = 4
    MAX_FRAME_SIZE = 5
    MAX_HEADER_LIST_SIZE = 6


class ConnectionFault(Exception):
    """The peer violated or abused the protocol: the connection must end with `code`."""

    def __init__(self, code: ErrorCode, reason: str) -> None:
        super().__init__(f"{code.name}: {reason}")
        self.code = code
        self.reason = reason


class Frame(NamedTuple):
    """A received frame: without padding, a header block joined from all its frames.

    `size` counts for flow control: the payload's length with padding.
    """

    type: int
    flags: int
    stream: int
    payload: bytes
    size: int


class FrameReader:
    """Splits a stream of bytes, which arrives in pieces of any length, into frames.

    Unknown frames and PRIORITY are dropped. A frame may have up to `max_frame` bytes, a header
    block up to `max_block`.
    """

    def __init__(self, max_frame: int, max_block: int) -> None:
        self._max_frame = max_frame
        self._max_block = max_block
        self._rest: list[bytes] = []  # of an incomplete frame
        self._size = 0
        self._wanted = _HEAD_SIZE  # the minimum number of bytes that it needs
        self._block: list[bytes] = []
        self._block_size = 0
        self._block_head = (0, 0)  # flags and stream of the HEADERS frame; no stream: no block

    def feed(self, data: bytes) -> list[Frame]:
        """Add bytes. Returns the frames that they complete. Raises ConnectionFault."""
        frames: list[Frame] = []
        self._rest.append(data)
        self._size += len(data)
        if self._size < self._wanted:
            return frames
        rest = b"".join(self._rest)
        at, end, unpack, limit = 0, len(rest), _HEAD.unpack_from, self._max_frame
        while end - at >= _HEAD_SIZE:
            upper, lower, kind, flags, stream = unpack(rest, at)
            length = upper << 8 | lower
            if length > limit:
                raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, f"a frame of {length} bytes")
            start = at + _HEAD_SIZE
            if end - start < length:
                self._wanted = _HEAD_SIZE + length
                break
            at = start + length
            stream &= MAX_WINDOW
            if kind == DATA and not flags & _PADDED and stream and not self._block_head[1]:
                frames.append(Frame(DATA, flags, stream, rest[start:at], length))
            else:
                frame = self._read(kind, flags, stream, rest[start:at])
                if frame is not None:
                    frames.append(frame)
        else:
            self._wanted = _HEAD_SIZE
        self._rest = [rest[at:]]
        self._size = end - at
        return frames

    def _read(self, kind: int, flags: int, stream: int, payload: bytes) -> Frame | None:
        if self._block_head[1] and (kind != CONTINUATION or stream != self._block_head[1]):
            raise _broken("a header block is interrupted")
        if kind in (DATA, HEADERS, PRIORITY, RST_STREAM, CONTINUATION) and stream == 0:
            raise _broken("a stream's frame on no stream")
        if kind in (SETTINGS, PING, GOAWAY) and stream != 0:
            raise _broken("a connection's frame on a stream")
        size = len(payload)
        match kind:
            case 0:  # DATA
                return Frame(kind, flags, stream, _unpadded(flags, payload), size)
            case 1:  # HEADERS
                payload = _unpadded(flags, payload)
                if flags & _PRIORITY_FLAG:
                    if len(payload) < 5:
                        raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "a short HEADERS")
                    payload = payload[5:]
                self._block_head = (flags, stream)
                return self._continue(flags, payload)
            case 9:  # CONTINUATION
                if not self._block_head[1]:
                    raise _broken("a CONTINUATION of nothing")
                return self._continue(flags, payload)
            case 5:  # PUSH_PROMISE
                raise _broken("a PUSH_PROMISE")
            case 3 | 8 if size != 4:  # RST_STREAM, WINDOW_UPDATE
                raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "a frame that is not 4 bytes")
            case 6 if size != 8:  # PING
                raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "a PING that is not 8 bytes")
            case 2 if size != 5:  # PRIORITY
                raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "a PRIORITY that is not 5 bytes")
            case 4 if size % 6 or (flags & ACK and size) or size > _UNMERGED:  # SETTINGS
                raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, f"SETTINGS of {size} bytes")
            case 7 if size < 8 or size > _UNMERGED:  # GOAWAY
                raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, f"a GOAWAY of {size} bytes")
            case 3 | 4 | 6 | 7 | 8:
                return Frame(kind, flags, stream, payload, size)
        return None

    def _continue(self, flags: int, payload: bytes) -> Frame | None:
        # An empty one counts too: otherwise a block of endless frames would never reach the limit.
        self._block_size += len(payload) + _HEAD_SIZE
        if self._block_size > self._max_block:
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "a header block is too large")
        self._block.append(payload)
        if not flags & END_HEADERS:
            return None
        first, stream = self._block_head
        block = b"".join(self._block)
        self._block, self._block_size, self._block_head = [], 0, (0, 0)
        return Frame(HEADERS, first & END_STREAM, stream, block, len(block))


def _broken(reason: str) -> ConnectionFault:
    return ConnectionFault(ErrorCode.PROTOCOL_ERROR, reason)


def _unpadded(flags: int, payload: bytes) -> bytes:
    if not flags & _PADDED:
        return payload
    if not payload or payload[0] >= len(payload):
        raise _broken("more padding than payload")
    return payload[1 : len(payload) - payload[0]]


def head(length: int, kind: int, flags: int, stream: int) -> bytes:
    """The first nine bytes of a frame."""
    return _HEAD.pack(length >> 8, length & 0xFF, kind, flags, stream)


def header_frames(stream: int, block: bytes, *, end: bool, max_frame: int) -> bytes:
    """HEADERS, and CONTINUATIONs if the block is larger than a frame."""
    flags = END_STREAM if end else 0
    if len(block) <= max_frame:
        return head(len(block), HEADERS, flags | END_HEADERS, stream) + block
    out, kind = bytearray(), HEADERS
    for at in range(0, len(block), max_frame):
        piece = block[at : at + max_frame]
        if at + max_frame >= len(block):
            flags |= END_HEADERS
        out += head(len(piece), kind, flags, stream) + piece
        kind, flags = CONTINUATION, 0
    return bytes(out)


def reset_frame(stream: int, code: ErrorCode) -> bytes:
    return head(4, RST_STREAM, 0, stream) + _NUMBER.pack(code)


def settings_frame(settings: Iterable[tuple[Setting, int]]) -> bytes:
    payload = b"".join(_SETTING.pack(name, value) for name, value in settings)
    return head(len(payload), SETTINGS, 0, 0) + payload


SETTINGS_ACK = head(0, SETTINGS, ACK, 0)


def read_settings(payload: bytes) -> dict[int, int]:
    """The settings in a SETTINGS frame, including unknown ones; validated (section 6.5.2)."""
    settings = dict(_SETTING.iter_unpack(payload))
    if settings.get(Setting.INITIAL_WINDOW_SIZE, 0) > MAX_WINDOW:
        raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "an initial window beyond 2^31-1")
    frame_size = settings.get(Setting.MAX_FRAME_SIZE, MIN_FRAME_SIZE)
    if not MIN_FRAME_SIZE <= frame_size <= MAX_FRAME_SIZE:
        raise _broken(f"a largest frame of {frame_size} bytes")
    if settings.get(Setting.ENABLE_PUSH, 0) > 1:
        raise _broken("ENABLE_PUSH is neither 0 nor 1")
    return settings


def ping_frame(payload: bytes, *, ack: bool = False) -> bytes:
    return head(8, PING, ACK if ack else 0, 0) + payload


def goaway_frame(last_stream: int, code: ErrorCode, reason: str = "") -> bytes:
    debug = reason.encode()[:256]
    return head(8 + len(debug), GOAWAY, 0, 0) + _PAIR.pack(last_stream, code) + debug


def read_goaway(payload: bytes) -> tuple[int, int, str]:
    """The last stream that the peer will serve, the error code, and the debug data."""
    last, code = _PAIR.unpack_from(payload)
    return last & MAX_WINDOW, code, payload[8:].decode("utf-8", "replace")


def window_frame(stream: int, credit: int) -> bytes:
    return head(4, WINDOW_UPDATE, 0, stream) + _NUMBER.pack(credit)


def read_number(payload: bytes) -> int:
    """The 31 bits of a WINDOW_UPDATE, or the code of an RST_STREAM (32 bits, all small)."""
    number: int = _NUMBER.unpack(payload)[0]
    return number & MAX_WINDOW

"""gRPC's messages in a stream of bytes: a flag, a length, the message.

Source: grpc `doc/PROTOCOL-HTTP2.md`.
"""

from __future__ import annotations

from collections import deque
from struct import Struct
from typing import TYPE_CHECKING

from lamina.wire.contract import Code, StatusError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lamina.wire.stream import Stream

MAX_MESSAGE = 16 << 20  # the maximum size of a received message in bytes (BuildKit)
_PREFIX = Struct(">BL")  # compressed or not, length
_PREFIX_SIZE = 5
_COPIED = 64 << 10  # shorter messages are joined with their prefix


def send_message(stream: Stream, message: bytes) -> None:
    """Send one message, uncompressed. Raises StreamEnded."""
    prefix = _PREFIX.pack(0, len(message))
    if len(message) <= _COPIED:
        stream.send(prefix + message)
    else:
        stream.send(prefix)
        stream.send(message)


def send_messages(stream: Stream, messages: Sequence[bytes]) -> None:
    """Send small messages together, uncompressed. Raises StreamEnded."""
    stream.send(b"".join([_PREFIX.pack(0, len(message)) + message for message in messages]))


class MessageReader:
    """Reads the messages of a stream, one after another. Not thread-safe."""

    def __init__(self, stream: Stream) -> None:
        self.encoding = "identity"
        self._stream = stream
        self._ready: deque[tuple[int, bytes]] = deque()  # complete messages, with their flags
        self._parts: list[bytes] = []  # of incomplete messages
        self._size = 0
        self._wanted = _PREFIX_SIZE

    def next(self) -> bytes | None:
        """The next message, None at the end. Raises StreamEnded, StatusError if it is malformed."""
        if not self._ready:
            self._fill()
            if not self._ready:
                return None
        compressed, message = self._ready.popleft()
        return self._decompress(compressed, message) if compressed else message

    def _fill(self) -> None:
        while not self._ready:
            chunks = self._stream.take(self._size)
            if chunks is None:
                if self._size:
                    raise StatusError(Code.INTERNAL, "the stream ended within a message")
                return
            self._parts += chunks
            self._size += sum(map(len, chunks))
            if self._size >= self._wanted:
                self._cut(b"".join(self._parts))
                self._stream.keep(self._size)

    def _cut(self, data: bytes) -> None:
        at, end, unpack, ready = 0, len(data), _PREFIX.unpack_from, self._ready
        self._wanted = _PREFIX_SIZE
        while end - at >= _PREFIX_SIZE:
            compressed, length = unpack(data, at)
            if length > MAX_MESSAGE:
                raise _too_large(length)
            start = at + _PREFIX_SIZE
            if end - start < length:
                self._wanted = _PREFIX_SIZE + length
                break
            at = start + length
            ready.append((compressed, data[start:at]))  # one at a time is decompressed
        self._parts = [data[at:]] if at < end else []
        self._size = end - at

    def _decompress(self, flag: int, data: bytes) -> bytes:
        if flag != 1 or self.encoding != "gzip":
            raise StatusError(Code.INTERNAL, "a message is compressed in a way not agreed on")
        import zlib

        gunzip = zlib.decompressobj(wbits=31)
        try:
            message = gunzip.decompress(data, MAX_MESSAGE + 1)
        except zlib.error as error:
            raise StatusError(Code.INTERNAL, f"a message does not decompress: {error}") from error
        if len(message) > MAX_MESSAGE:
            raise _too_large(len(message))
        if not gunzip.eof:
            raise StatusError(Code.INTERNAL, "a compressed message is truncated")
        return message


def _too_large(length: int) -> StatusError:
    return StatusError(
        Code.RESOURCE_EXHAUSTED, f"a message of {length} bytes; the limit is {MAX_MESSAGE}"
    )

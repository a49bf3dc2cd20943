"""`BytesMessage`: the message of all streams of bytes.

BuildKit has equal messages in `moby.buildkit.v1`, `moby.filesync.v1`, `moby.sshforward.v1` and
`moby.upload.v1`. The codec is hand-written, because all data of tunnels passes through it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.errors import Corrupt

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lamina.wire.contract import Call

_TAG = b"\x0a"  # field 1, length-delimited
CHUNK = 32 << 10
"""The maximum size of the bytes in a sent message."""


def encode_bytes(data: bytes) -> bytes:
    if not data:
        return b""
    length = len(data)
    head = bytearray(_TAG)
    while length >= 0x80:
        head.append(length & 0x7F | 0x80)
        length >>= 7
    head.append(length)
    return bytes(head) + data


def decode_bytes(message: bytes) -> bytes:
    """Decode a message. Raises Corrupt."""
    if not message:
        return b""
    if message[0] == _TAG[0]:
        length = shift = 0
        for at in range(1, min(len(message), 11)):
            byte = message[at]
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                if at + 1 + length == len(message):
                    return message[at + 1 :]
                break
    return _decode_slowly(message)


def _decode_slowly(message: bytes) -> bytes:
    """A message with other fields, or one that is malformed."""
    from lamina.base.named_tuple import NamedTuple
    from lamina.wire.fields import data
    from lamina.wire.protobuf import decode

    class BytesMessage(NamedTuple):
        data: bytes = b""

    decoded = decode(message, BytesMessage, {BytesMessage: (data(1, "data"),)})
    if not isinstance(decoded, BytesMessage):
        raise Corrupt("malformed message of bytes")
    return decoded.data


def chunks(call: Call) -> Iterator[bytes]:
    """The bytes of a call, message by message. Raises StatusError, Corrupt."""
    while (message := call.receive()) is not None:
        yield decode_bytes(message)

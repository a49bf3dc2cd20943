"""Header blocks: encoding and decoding of fields (RFC 7541).

The encoder uses literals that are never indexed, so it has no state that depends on the order of
sending, and no secrets are in a compression table. Such blocks are decoded here; all others by the
hpack library, whose import takes longer than a call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.wire.frames import ConnectionFault, ErrorCode

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hpack import Decoder

Fields = list[tuple[bytes, bytes]]

# The complete fields of the static table (RFC 7541, appendix A) that gRPC sends.
_INDEXED = {
    (b":method", b"POST"): b"\x83",
    (b":path", b"/"): b"\x84",
    (b":scheme", b"http"): b"\x86",
    (b":scheme", b"https"): b"\x87",
    (b":status", b"200"): b"\x88",
}
_BY_INDEX = {code[0]: field for field, code in _INDEXED.items()}
_LITERALS = (0x00, 0x10)  # a literal with a literal name, not indexed (now, or ever)
_LONG = 127  # the first byte of a string, if its length continues
_LENGTH_BYTES = 3
_FIELD_OVERHEAD = 32  # the overhead of a field (RFC 7541, section 4.1)


def encode_block(fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Encode fields. Names must be lower-case."""
    out = bytearray()
    for field in fields:
        indexed = _INDEXED.get(field)
        if indexed is not None:
            out += indexed
            continue
        name, value = field
        out += b"\x10"
        _put_string(out, name)
        _put_string(out, value)
    return bytes(out)


def list_size(fields: Iterable[tuple[bytes, bytes]]) -> int:
    """The size that the peer's MAX_HEADER_LIST_SIZE limits."""
    return sum(len(name) + len(value) + _FIELD_OVERHEAD for name, value in fields)


def _put_string(out: bytearray, data: bytes) -> None:
    length = len(data)
    if length < _LONG:
        out.append(length)
    else:
        out.append(_LONG)
        length -= _LONG
        while length >= 128:
            out.append(length & 127 | 128)
            length >>= 7
        out.append(length)
    out += data


class BlockDecoder:
    """Decodes the header blocks of one connection, in the order of their arrival."""

    def __init__(self, max_list_size: int) -> None:
        self._max_list_size = max_list_size
        self._decoder: Decoder | None = None

    def decode(self, block: bytes) -> Fields:
        """Decode a block. Raises ConnectionFault: one bad block makes the state invalid."""
        fields = _plain_fields(block)  # such blocks do not use the table
        if fields is not None and list_size(fields) <= self._max_list_size:
            return fields
        from hpack import Decoder, HPACKError, OversizedHeaderListError

        if self._decoder is None:
            self._decoder = Decoder(max_header_list_size=self._max_list_size)
        try:
            return [(name, value) for name, value in self._decoder.decode(block, raw=True)]
        except OversizedHeaderListError as error:
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, str(error)) from error
        except (HPACKError, UnicodeError, IndexError) as error:
            reason = "a header block does not decode"
            raise ConnectionFault(ErrorCode.COMPRESSION_ERROR, reason) from error


def _plain_fields(block: bytes) -> Fields | None:
    """The fields of a block in `encode_block`'s format, None for other blocks."""
    fields: Fields = []
    at, end = 0, len(block)
    while at < end:
        first = block[at]
        at += 1
        indexed = _BY_INDEX.get(first)
        if indexed is not None:
            fields.append(indexed)
            continue
        if first not in _LITERALS:
            return None
        start, at = _string_span(block, at)
        name = block[start:at]
        start, at = _string_span(block, at)
        if not name or at > end:
            return None
        fields.append((name, block[start:at]))
    return fields


def _string_span(block: bytes, at: int) -> tuple[int, int]:
    """The start and end of a string's bytes. The end is beyond the block if it is not plain."""
    nowhere = len(block) + 1
    if at >= len(block) or block[at] > _LONG:  # beyond the end, or Huffman-coded
        return nowhere, nowhere
    length = block[at]
    at += 1
    if length < _LONG:
        return at, at + length
    for shift, byte in enumerate(block[at : at + _LENGTH_BYTES]):
        length += (byte & 127) << 7 * shift
        if byte < 128:
            return at + shift + 1, at + shift + 1 + length
    return nowhere, nowhere


REQUEST = frozenset((b":method", b":scheme", b":path"))
RESPONSE = frozenset((b":status",))
TRAILERS: frozenset[bytes] = frozenset()
_FORBIDDEN = frozenset(
    (b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade")
)


def check_fields(fields: Fields, pseudo: frozenset[bytes]) -> None:
    """Raise ValueError if a block is malformed (RFC 9113, section 8.2).

    `pseudo` are the required pseudo-fields, each once and before the others. A request may also
    have an authority.
    """
    seen: set[bytes] = set()
    regular = False
    for name, value in fields:
        if name[:1] == b":":
            allowed = name in pseudo or (name == b":authority" and pseudo is REQUEST)
            if regular or name in seen or not allowed:
                raise ValueError(f"a misplaced pseudo-field {name!r}")
            seen.add(name)
            continue
        regular = True
        if not name or name != name.lower() or name in _FORBIDDEN:
            raise ValueError(f"a field {name!r}")
        if b"\0" in value or b"\r" in value or b"\n" in value:
            raise ValueError(f"a control character in the value of {name!r}")
        if name == b"te" and value != b"trailers":
            raise ValueError("te is not trailers")
    if missing := pseudo - seen:
        raise ValueError(f"no {min(missing)!r}")

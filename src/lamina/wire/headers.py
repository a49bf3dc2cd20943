"""Header blocks: fields to bytes and back (RFC 7541).

Encoding uses literals that are never indexed: no state to keep in step with the order of
sending, and no secret in a compression table. What is written so is read here; whatever else a
peer may send is for the hpack library, which takes longer to import than a call takes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.wire.frames import ConnectionFault, ErrorCode

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hpack import Decoder

Fields = list[tuple[bytes, bytes]]

# The static table's whole fields (RFC 7541, appendix A), those that gRPC sends.
_INDEXED = {
    (b":method", b"POST"): b"\x83",
    (b":path", b"/"): b"\x84",
    (b":scheme", b"http"): b"\x86",
    (b":scheme", b"https"): b"\x87",
    (b":status", b"200"): b"\x88",
}
_BY_INDEX = {code[0]: field for field, code in _INDEXED.items()}
_LITERALS = (0x00, 0x10)  # with a name of its own, not to be indexed (now, or ever)
_LONG = 127  # a string's first byte, if the rest of its length follows
_LENGTH_BYTES = 3
_FIELD_OVERHEAD = 32  # what a field costs besides its bytes (RFC 7541, section 4.1)


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
    """What the peer's MAX_HEADER_LIST_SIZE limits."""
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
        """Decode a block. Raises ConnectionFault: the state is lost with one bad block."""
        fields = _plain_fields(block)  # they neither need the table nor change it
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
    """The fields of a block in which there is nothing but what `encode_block` writes, else None."""
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
    """Where a string's bytes begin and end; the end is past the block's if it is not plain."""
    nowhere = len(block) + 1
    if at >= len(block) or block[at] > _LONG:  # past the end, or in Huffman's code
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

    `pseudo` are the pseudo-fields that must come, once and ahead of the others; a request may
    have an authority too.
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

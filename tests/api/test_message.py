"""Functions for calls with messages."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.api.message import first, values
from lamina.api.stream import decode_bytes, encode_bytes
from lamina.base.errors import Corrupt


@given(st.binary(max_size=300))
def test_bytes_travel_as_a_message(data: bytes) -> None:
    assert decode_bytes(encode_bytes(data)) == data


@pytest.mark.parametrize("size", [127, 128, 16383, 16384, 32 << 10])
def test_lengths_around_a_byte_more(size: int) -> None:
    message = encode_bytes(b"x" * size)
    assert message[:1] == b"\x0a"
    assert decode_bytes(message) == b"x" * size


def test_unknown_fields_are_ignored() -> None:
    assert decode_bytes(b"\x0a\x01x\x10\x05") == b"x"
    assert decode_bytes(b"\x10\x05\x0a\x01x") == b"x"


@pytest.mark.parametrize("message", [b"\x0a\x05x", b"\x0a", b"\x0a\xff\xff", b"\x08\x01\x0b"])
def test_malformed_messages_are_refused(message: bytes) -> None:
    with pytest.raises(Corrupt):
        decode_bytes(message)


def test_metadata_may_have_several_values_of_a_name() -> None:
    metadata = (("a", "1"), ("b", "2"), ("a", "3"), ("c-bin", b"x"))
    assert values(metadata, "a") == ["1", "3"]
    assert first(metadata, "a") == "1"
    assert first(metadata, "z") == ""
    assert first(metadata, "c-bin") == "x"

"""Encoding and decoding of header blocks, metadata and statuses."""

from __future__ import annotations

import pytest
from hpack import Decoder, Encoder, HPACKError
from hypothesis import given
from hypothesis import strategies as st

from lamina.wire.contract import Code, Detail, Metadata, StatusError
from lamina.wire.frames import ConnectionFault, ErrorCode
from lamina.wire.headers import (
    REQUEST,
    TRAILERS,
    BlockDecoder,
    Fields,
    check_fields,
    encode_block,
)
from lamina.wire.metadata import metadata_fields, read_metadata
from lamina.wire.status import read_status, read_timeout, status_fields

RESERVED = ("te", "content-type", "connection", "upgrade", "keep-alive")
NAMES = st.text("abcdefghijklmnopqrstuvwxyz0123456789-_.", min_size=1, max_size=20).filter(
    lambda name: not name.startswith("grpc-") and name not in RESERVED
)
TEXT = st.text(st.characters(exclude_categories=("Cc", "Cs"))).map(lambda text: text.strip(" "))
ITEMS = st.one_of(
    st.tuples(NAMES.filter(lambda name: not name.endswith("-bin")), TEXT),
    st.tuples(NAMES.map("{}-bin".format), st.binary()),
)

FIELDS = st.lists(st.tuples(st.binary(min_size=1, max_size=300), st.binary(max_size=300)))


@given(FIELDS)
def test_blocks_are_read_as_written(fields: Fields) -> None:
    assert BlockDecoder(1 << 20).decode(encode_block(fields)) == fields


@given(st.lists(FIELDS, max_size=5))
def test_blocks_of_another_encoder_with_its_table(blocks: list[Fields]) -> None:
    encoder, decoder = Encoder(), BlockDecoder(1 << 20)
    for fields in blocks:
        assert decoder.decode(encoder.encode(fields)) == fields


@given(st.binary(max_size=100))
def test_garbage_blocks(data: bytes) -> None:
    try:
        BlockDecoder(1 << 16).decode(data)
    except ConnectionFault as fault:
        assert fault.code in (ErrorCode.COMPRESSION_ERROR, ErrorCode.ENHANCE_YOUR_CALM)


def test_plain_blocks_between_those_that_change_the_table() -> None:
    encoder, decoder = Encoder(), BlockDecoder(1 << 20)
    plain: Fields = [(b":status", b"200"), (b"x", b"y" * 500)]
    for fields in ([(b"a", b"b")], [(b"c", b"d"), (b"a", b"b")]):
        assert decoder.decode(encode_block(plain)) == plain
        assert decoder.decode(encoder.encode(fields)) == fields


def strings(data: bytes) -> st.SearchStrategy[bytes]:
    """An encoded string: with a correct length, one that is too long, or one of many bytes."""
    long = bytes([127, *[128 | (len(data) - 127) & 127] * (len(data) >= 127), 0x80, 0x00])
    return st.sampled_from(
        [bytes([min(len(data), 126)]) + data, b"\x7e" + data, long + data, b"\x82" + data]
    )


PARTS = st.one_of(
    st.sampled_from([b"\x83", b"\x84", b"\x86", b"\x88", b"\xbe", b"\x82", b"\x3f", b"\x20"]),
    st.tuples(
        st.sampled_from([b"\x00", b"\x10", b"\x40", b"\x0f", b"\x11"]),
        st.binary(max_size=150).flatmap(strings),
        st.binary(max_size=150).flatmap(strings),
    ).map(b"".join),
)


@given(
    st.lists(st.one_of(PARTS, st.binary(max_size=3)), max_size=6).map(b"".join), st.integers(0, 400)
)
def test_any_block_is_decoded_as_by_hpack(block: bytes, limit: int) -> None:
    try:
        expected = [tuple(field) for field in Decoder(limit).decode(block, raw=True)]
    except (HPACKError, IndexError):
        with pytest.raises(ConnectionFault):
            BlockDecoder(limit).decode(block)
    else:
        assert BlockDecoder(limit).decode(block) == expected


def test_a_small_block_that_unpacks_to_a_large_list() -> None:
    encoder = Encoder()
    block = encoder.encode([(b"a", b"x" * 4000)]) + b"\xbe" * 1000
    with pytest.raises(ConnectionFault) as caught:
        BlockDecoder(1 << 16).decode(block)
    assert caught.value.code is ErrorCode.ENHANCE_YOUR_CALM


GOOD: Fields = [
    (b":method", b"POST"),
    (b":scheme", b"http"),
    (b":path", b"/"),
    (b"te", b"trailers"),
]


def test_good_requests() -> None:
    check_fields(GOOD, REQUEST)
    check_fields([(b":authority", b"x"), *GOOD], REQUEST)


@pytest.mark.parametrize(
    "fields",
    [
        GOOD[1:],
        [*GOOD, (b":authority", b"late")],
        [GOOD[0], *GOOD],
        [(b":status", b"200"), *GOOD],
        [*GOOD, (b"Upper", b"x")],
        [*GOOD, (b"", b"x")],
        [*GOOD, (b"connection", b"close")],
        [*GOOD, (b"x", b"a\nb")],
        [*GOOD[:3], (b"te", b"gzip")],
    ],
)
def test_malformed_requests(fields: Fields) -> None:
    with pytest.raises(ValueError):
        check_fields(fields, REQUEST)


def test_pseudo_fields_in_trailers() -> None:
    with pytest.raises(ValueError):
        check_fields([(b":status", b"200")], TRAILERS)


@given(st.lists(ITEMS).map(tuple))
def test_metadata_is_read_as_written(metadata: Metadata) -> None:
    fields = metadata_fields(metadata)
    check_fields(fields, TRAILERS)
    assert read_metadata([(b":path", b"/"), (b"grpc-encoding", b"gzip"), *fields]) == metadata


@pytest.mark.parametrize(
    "item", [("a", b"bytes"), ("a", "line\nfeed"), ("", "x"), (":path", "x"), ("a b", "x")]
)
def test_metadata_that_cannot_travel(item: tuple[str, str | bytes]) -> None:
    with pytest.raises(StatusError):
        metadata_fields((item,))


def test_binary_metadata_padded_and_joined() -> None:
    assert read_metadata([(b"x-bin", b"YQ==,YmI, YWJj")]) == (
        ("x-bin", b"a"),
        ("x-bin", b"bb"),
        ("x-bin", b"abc"),
    )
    with pytest.raises(StatusError):
        read_metadata([(b"x-bin", b"Y")])


DETAILS = st.lists(st.tuples(TEXT, st.binary()).map(lambda pair: Detail(*pair))).map(tuple)


@given(st.sampled_from(list(Code)[1:]), st.text(st.characters(codec="utf-8")), DETAILS)
def test_statuses(code: Code, message: str, details: tuple[Detail, ...]) -> None:
    fields = status_fields(code, message, details)
    check_fields(fields, TRAILERS)
    status = read_status(fields)
    assert status is not None
    assert (status.code, status.message, status.details) == (code, message, details)


def test_an_ok_status() -> None:
    assert read_status(status_fields(Code.OK)) is None


@pytest.mark.parametrize(
    ("fields", "code", "message"),
    [
        ([(b":status", b"404")], Code.UNIMPLEMENTED, "HTTP 404 without a grpc-status"),
        ([(b":status", b"503")], Code.UNAVAILABLE, "HTTP 503 without a grpc-status"),
        ([(b":status", b"302")], Code.UNKNOWN, "HTTP 302 without a grpc-status"),
        ([], Code.UNKNOWN, "the end without a grpc-status"),
        ([(b"grpc-status", b"99")], Code.UNKNOWN, ""),
        ([(b"grpc-status", b"x")], Code.UNKNOWN, ""),
        ([(b"grpc-status", b"5"), (b"grpc-message", b"a%2")], Code.NOT_FOUND, "a%2"),
        ([(b"grpc-status", b"5"), (b"grpc-message", b"%zz%41%")], Code.NOT_FOUND, "%zzA%"),
        ([(b"grpc-status", b"5"), (b"grpc-message", b"%ff")], Code.NOT_FOUND, "\ufffd"),
        ([(b"grpc-status", b"5"), (b"grpc-status-details-bin", b"?")], Code.NOT_FOUND, ""),
    ],
)
def test_statuses_of_others(fields: Fields, code: Code, message: str) -> None:
    status = read_status(fields)
    assert status is not None
    assert (status.code, status.message, status.details) == (code, message, ())


@pytest.mark.parametrize(
    ("text", "seconds"), [(b"1H", 3600), (b"2M", 120), (b"3S", 3), (b"250m", 0.25), (b"1n", 1e-9)]
)
def test_timeouts(text: bytes, seconds: float) -> None:
    assert read_timeout(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", [b"", b"S", b"1", b"1x", b"-1S", b"123456789S", b"1.5S", b"\xff"])
def test_malformed_timeouts(text: bytes) -> None:
    with pytest.raises(ValueError):
        read_timeout(text)

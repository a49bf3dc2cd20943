"""Corner cases of the codec; the messages that use it are tested in their packages."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.base.errors import Corrupt
from lamina.wire.protobuf import Field, Kind, Label, Schema, decode, encode


class Colour(IntEnum):
    RED = 0
    BLUE = -3


class Tree(NamedTuple):
    """A message with fields of every kind, including itself."""

    name: str = ""
    numbers: tuple[int, ...] = ()
    colour: Colour = Colour.RED
    flag: bool | None = None
    child: Tree | None = None
    leaves: tuple[tuple[str, Tree], ...] = ()
    weights: tuple[tuple[str, int], ...] = ()
    raw: bytes = b""


SCHEMA: Schema = {
    Tree: (
        Field(300, "raw", Kind.BYTES),  # in another order: the bytes are still in order
        Field(1, "name", Kind.STRING),
        Field(2, "numbers", Kind.INT, Label.REPEATED),
        Field(3, "colour", Kind.INT, type=Colour),
        Field(4, "flag", Kind.BOOL, Label.OPTIONAL),
        Field(5, "child", Kind.MESSAGE, Label.OPTIONAL, Tree),
        Field(6, "leaves", Kind.MESSAGE, Label.MAP, Tree),
        Field(7, "weights", Kind.INT, Label.MAP),
    )
}
INTEGERS = st.integers(-(1 << 63), (1 << 63) - 1)
TREES = st.recursive(
    st.just(Tree()),
    lambda trees: st.builds(
        Tree,
        name=st.text(st.characters(codec="utf-8")),
        numbers=st.lists(INTEGERS).map(tuple),
        colour=st.sampled_from(Colour),
        flag=st.none() | st.booleans(),
        child=st.none() | trees,
        leaves=st.dictionaries(st.text("abc"), trees, max_size=3).map(
            lambda items: tuple(sorted(items.items()))
        ),
        weights=st.dictionaries(st.text("abc"), INTEGERS).map(
            lambda items: tuple(sorted(items.items()))
        ),
        raw=st.binary(max_size=300),
    ),
    max_leaves=8,
)


@given(TREES)
def test_values_are_read_as_written(tree: Tree) -> None:
    assert decode(encode(tree, SCHEMA), Tree, SCHEMA) == tree


@given(TREES, st.data())
def test_truncated_messages_are_refused_or_shorter(tree: Tree, data: st.DataObject) -> None:
    encoded = encode(tree, SCHEMA)
    cut = encoded[: data.draw(st.integers(0, len(encoded)))]
    try:
        decode(cut, Tree, SCHEMA)
    except Corrupt:
        assert cut != encoded


@given(st.binary(max_size=60))
def test_garbage_is_refused_or_read(data: bytes) -> None:
    try:
        tree = decode(data, Tree, SCHEMA)
    except Corrupt:
        return
    again = encode(tree, SCHEMA)  # canonical: encoding twice gives the same bytes
    assert encode(decode(again, Tree, SCHEMA), SCHEMA) == again


def test_the_bytes() -> None:
    tree = Tree("a", (1, 300), Colour.BLUE, False, Tree(), (("k", Tree()),), (("w", 0),), b"z")
    assert encode(tree, SCHEMA) == (
        b"\x0a\x01a"
        b"\x12\x03\x01\xac\x02"
        b"\x18\xfd\xff\xff\xff\xff\xff\xff\xff\xff\x01"
        b"\x20\x00"
        b"\x2a\x00"
        b"\x32\x05\x0a\x01k\x12\x00"
        b"\x3a\x05\x0a\x01w\x10\x00"
        b"\xe2\x12\x01z"
    )


def test_numbers_packed_or_not() -> None:
    assert decode(b"\x10\x01\x12\x02\x02\x03\x10\x04", Tree, SCHEMA).numbers == (1, 2, 3, 4)


def test_unknown_fields_of_every_wire_type() -> None:
    unknown = b"\xf8\x07\x05\xf9\x0712345678\xfa\x07\x01x\xfd\x071234"
    assert decode(unknown + b"\x0a\x01a", Tree, SCHEMA) == Tree("a")


def test_entries_with_parts_missing() -> None:
    assert decode(b"\x32\x00\x3a\x00", Tree, SCHEMA) == Tree(
        leaves=(("", Tree()),), weights=(("", 0),)
    )


@pytest.mark.parametrize(
    "data",
    [
        b"\x08\x01",  # a number instead of text
        b"\x0d1234",
        b"\x1a\x00",  # text instead of a number
        b"\x18\x63",  # an unknown colour
        b"\x0b",  # a group
        b"\x0a\x05abc",
        b"\x0a",
        b"\x18" + b"\xff" * 10,
        b"\xfd\x07123",
        b"\x30\x01",  # an invalid map
    ],
)
def test_malformed_messages(data: bytes) -> None:
    with pytest.raises(Corrupt):
        decode(data, Tree, SCHEMA)


def test_too_deep_a_message() -> None:
    data = b""
    for _ in range(100):
        size = len(data)
        length = bytes((size,)) if size < 128 else bytes((size & 0x7F | 0x80, size >> 7))
        data = b"\x2a" + length + data
    with pytest.raises(Corrupt, match="deep"):
        decode(data, Tree, SCHEMA)

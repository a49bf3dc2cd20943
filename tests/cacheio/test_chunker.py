"""Chunks: joined they are the bytes, and an edit moves few boundaries."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lamina.cacheio.chunker import SMALL, chunks


def pieces(data: bytes) -> list[bytes]:
    return [bytes(piece) for piece in chunks(data)]


def material(kind: str, size: int, seed: int) -> bytes:
    source = random.Random(seed)
    if kind == "random":
        return source.randbytes(size)
    words = [source.randbytes(4).hex() for _ in range(500)]
    text = " ".join(source.choices(words, k=size // 9 + 1)).encode().replace(b"7 ", b"7\n")
    return text[:size]


@given(st.lists(st.tuples(st.binary(min_size=1, max_size=50), st.integers(1, 40_000)), max_size=6))
@settings(max_examples=60, deadline=None)
def test_any_bytes_are_their_chunks_again(runs: list[tuple[bytes, int]]) -> None:
    data = b"".join(piece * count for piece, count in runs)[: 3 << 20]
    found = pieces(data)
    assert b"".join(found) == data
    assert all(found)
    if len(data) <= SMALL:
        assert len(found) <= 1
    assert all(64 << 10 <= len(piece) <= 1 << 20 for piece in found[:-1])


@pytest.mark.parametrize("kind", ["random", "text"])
@given(st.integers(0, 1 << 16), st.floats(0, 1), st.binary(max_size=2000), st.integers(0, 2000))
@settings(max_examples=25, deadline=None)
def test_an_edit_leaves_most_chunks_as_they_are(
    kind: str, seed: int, where: float, put: bytes, cut: int
) -> None:
    data = material(kind, 6 << 20, seed % 4)
    at = int(where * len(data))
    edited = data[:at] + put + data[at + cut :]
    before, after = set(pieces(data)), pieces(edited)
    changed = [piece for piece in after if piece not in before]
    # The chunk of the edit, and some more until the boundaries are equal again.
    assert len(changed) <= 4
    assert sum(map(len, changed)) <= 4 << 20


def test_chunks_are_not_all_as_large_as_they_may_be() -> None:
    for kind in ("random", "text"):
        sizes = [len(piece) for piece in pieces(material(kind, 16 << 20, 3))]
        assert sum(size == 1 << 20 for size in sizes) < len(sizes) / 2

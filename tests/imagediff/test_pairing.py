"""Pairing the layers of two images."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lamina.imagediff.pairing import pair_layers

LAYERS = st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from(("", "RUN x", "RUN y"))))


def test_content_counts_more_than_the_step_and_the_step_more_than_the_position() -> None:
    before = [("a", "FROM"), ("b", "RUN 1"), ("c", "RUN 2"), ("d", "RUN 3")]
    after = [("a", "FROM"), ("x", "COPY"), ("y", "RUN 1"), ("d", "other"), ("z", "RUN 4")]
    assert pair_layers(before, after) == [(0, 0), (None, 1), (1, 2), (2, None), (3, 3), (None, 4)]


def test_layers_without_steps_are_paired_by_position() -> None:
    before = [("a", ""), ("b", ""), ("c", "")]
    after = [("a", ""), ("x", ""), ("y", ""), ("z", "")]
    assert pair_layers(before, after) == [(0, 0), (1, 1), (2, 2), (None, 3)]


def test_many_layers_are_paired_by_position() -> None:
    before = [(str(n), "RUN x") for n in range(3000)]
    after = [(f"-{n}", "RUN x") for n in range(3001)]
    assert pair_layers(before, after)[-1] == (None, 3000)


@given(LAYERS, LAYERS)
def test_every_layer_is_in_one_pair_in_order(
    before: list[tuple[str, str]], after: list[tuple[str, str]]
) -> None:
    pairs = pair_layers(before, after)
    assert [a for a, _ in pairs if a is not None] == list(range(len(before)))
    assert [b for _, b in pairs if b is not None] == list(range(len(after)))


@given(LAYERS)
def test_equal_images_are_paired_layer_by_layer(layers: list[tuple[str, str]]) -> None:
    assert pair_layers(layers, layers) == [(n, n) for n in range(len(layers))]

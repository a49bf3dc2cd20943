"""A short run of every fuzz target; `scripts/fuzz` runs them for as long as anybody likes."""

from __future__ import annotations

import random

import pytest
from fuzz_targets import TARGETS
from hypothesis import given, settings
from hypothesis import strategies as st

ROUNDS = 150


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_and_what_is_near_them(name: str) -> None:
    target = TARGETS[name]
    chance = random.Random(name)
    seeds = list(target.seeds())
    for seed in seeds:
        target.run(seed)
    for _ in range(ROUNDS):
        target.run(mutated(chance, chance.choice(seeds), target.words))


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=60)
@given(data=st.binary(max_size=300))
def test_any_bytes(name: str, data: bytes) -> None:
    TARGETS[name].run(data)


def mutated(chance: random.Random, data: bytes, words: tuple[bytes, ...]) -> bytes:
    """Some bytes flipped, dropped, doubled, or put in between."""
    text = bytearray(data)
    for _ in range(chance.randint(1, 6)):
        at = chance.randrange(len(text) + 1)
        end = min(len(text), at + chance.choice((1, 1, 2, 8, 40)))
        match chance.randrange(5):
            case 0:
                text[at:end] = bytes(chance.randrange(256) for _ in range(end - at))
            case 1:
                del text[at:end]
            case 2:
                text[at:at] = text[at:end]
            case 3 if words:
                text[at:at] = chance.choice(words)
            case _:
                text[at:end] = b"0" * (end - at)
    return bytes(text)

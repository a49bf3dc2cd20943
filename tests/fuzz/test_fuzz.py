"""A short run of every fuzz target; `scripts/fuzz` runs them for any length of time."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.fuzz_targets import TARGETS
from tests.fuzz.mutations import mutated

ROUNDS = 150


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_and_mutations_of_them(name: str) -> None:
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

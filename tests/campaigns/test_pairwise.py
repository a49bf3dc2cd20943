"""Covering arrays contain every possible pair, in few cases."""

from __future__ import annotations

import random

from tests.campaigns.pairs import PARAMETERS, allowed
from tests.campaigns.pairwise import covering, pairs

THREE = dict.fromkeys("abcd", ("1", "2", "3"))


def test_every_pair_is_there_once_at_least() -> None:
    cases = covering(THREE, lambda _: True, random.Random(1))
    found = set().union(*map(pairs, cases))
    assert len(found) == 6 * 9
    assert 9 <= len(cases) <= 13  # nine is the minimum
    assert all(list(case) == list(THREE) for case in cases)


def test_excluded_combinations_are_left_out() -> None:
    def never(case: dict[str, str]) -> bool:
        return not (case.get("a") == "1" and case.get("b") in ("1", "2", "3"))

    cases = covering(THREE, never, random.Random(1))
    assert {case["a"] for case in cases} == {"2", "3"}


def test_the_cover_depends_only_on_the_seed() -> None:
    first, second = (covering(THREE, lambda _: True, random.Random(7)) for _ in range(2))
    assert first == second
    assert first != covering(THREE, lambda _: True, random.Random(8))


def test_the_ways_to_build() -> None:
    cases = covering(PARAMETERS, allowed, random.Random(1))
    assert all(map(allowed, cases))
    found = set().union(*map(pairs, cases))
    # No pair is allowed by itself but impossible in every complete case.
    values = [(name, value) for name, some in PARAMETERS.items() for value in some]
    for one in values:
        for other in values:
            if one[0] < other[0] and allowed(dict((one, other))):
                assert frozenset((one, other)) in found, (one, other)
    assert len(cases) < 70

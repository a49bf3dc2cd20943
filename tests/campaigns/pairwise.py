"""Covering arrays: few cases that contain every pair of values of two parameters.

A plain greedy search (after AETG, Cohen et al. 1997): each case begins with an uncovered pair, and
takes for each further parameter the value that covers most pairs.
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Mapping, Sequence

    Parameters = Mapping[str, Sequence[str]]
    Case = dict[str, str]
    Pair = frozenset[tuple[str, str]]

_CANDIDATES = 8
_TRIES = 40


def covering(
    parameters: Parameters, allowed: Callable[[Case], bool], chance: random.Random
) -> list[Case]:
    """Cases that cover every pair of some allowed case.

    `allowed` is also called with incomplete cases: it returns whether the present parameters can be
    combined.
    """
    uncovered = _pairs_of(parameters, allowed)
    cases: list[Case] = []
    while uncovered:
        # In a fixed order: that of a set differs from process to process.
        wanted = chance.choice(sorted(uncovered, key=sorted))
        found = [_case(parameters, allowed, chance, wanted, uncovered) for _ in range(_CANDIDATES)]
        complete = [case for case in found if case is not None]
        if not complete:
            uncovered.discard(wanted)  # no case can contain it
            continue
        best = max(complete, key=lambda case: len(pairs(case) & uncovered))
        cases.append(best)
        uncovered -= pairs(best)
    return cases


def pairs(case: Case) -> set[Pair]:
    """All pairs of a case's values, with the names of their parameters."""
    return {frozenset(two) for two in combinations(case.items(), 2)}


def _pairs_of(parameters: Parameters, allowed: Callable[[Case], bool]) -> set[Pair]:
    every = [(name, value) for name, values in parameters.items() for value in values]
    return {
        frozenset((one, other))
        for one, other in combinations(every, 2)
        if one[0] != other[0] and allowed(dict((one, other)))
    }


def _case(
    parameters: Parameters,
    allowed: Callable[[Case], bool],
    chance: random.Random,
    wanted: Pair,
    uncovered: set[Pair],
) -> Case | None:
    for _ in range(_TRIES):
        case = dict(wanted)
        names = [name for name in parameters if name not in case]
        chance.shuffle(names)
        for name in names:
            values = [value for value in parameters[name] if allowed({**case, name: value})]
            if not values:
                break
            gains = {value: _gain(case, name, value, uncovered) for value in values}
            most = max(gains.values())
            case[name] = chance.choice([value for value in values if gains[value] == most])
        else:
            return {name: case[name] for name in parameters}
    return None


def _gain(case: Case, name: str, value: str, uncovered: set[Pair]) -> int:
    return sum(frozenset((item, (name, value))) in uncovered for item in case.items())

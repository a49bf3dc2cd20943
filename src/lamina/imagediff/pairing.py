"""Decides which layers of two images are compared with each other."""

from __future__ import annotations

from difflib import SequenceMatcher
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Sequence

Pair = tuple[int | None, int | None]
_LIMIT = 1000


def pair_layers(
    before: Sequence[tuple[Hashable, str]], after: Sequence[tuple[Hashable, str]]
) -> list[Pair]:
    """Pairs of indexes, in order; None where only the other image has a layer.

    A layer is (identity of its content, step). Layers with the same content are a pair; between
    them, layers of the same step; between those, layers at the same position.
    """
    return list(_by(0, before, after, 0, 0))


def _by(
    field: int,
    before: Sequence[tuple[Hashable, str]],
    after: Sequence[tuple[Hashable, str]],
    left: int,
    right: int,
) -> Iterator[Pair]:
    if field == 2 or max(len(before), len(after)) > _LIMIT:
        for index in range(max(len(before), len(after))):
            yield (
                left + index if index < len(before) else None,
                right + index if index < len(after) else None,
            )
        return
    matcher = SequenceMatcher(
        None,
        [layer[field] or ("", "before", index) for index, layer in enumerate(before)],
        [layer[field] or ("", "after", index) for index, layer in enumerate(after)],
        autojunk=False,
    )
    for tag, a, b, c, d in matcher.get_opcodes():
        if tag == "equal":
            yield from zip(range(left + a, left + b), range(right + c, right + d), strict=True)
        else:
            yield from _by(field + 1, before[a:b], after[c:d], left + a, right + c)

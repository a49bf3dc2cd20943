"""Mutations of bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random


def mutated(chance: random.Random, data: bytes, words: tuple[bytes, ...]) -> bytes:
    """Flip, drop, duplicate or insert some bytes."""
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

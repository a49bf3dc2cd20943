"""The standard library of bake files: the functions of buildx, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lamina.bake.evaluate.scope import AnyFunction


def standard_library() -> dict[str, AnyFunction]:
    """All functions, by name: https://docs.docker.com/build/bake/stdlib/."""
    from lamina.bake.functions import (
        addresses,
        collections,
        comparisons,
        encodings,
        formats,
        hashes,
        numbers,
        regexps,
        sets,
        strings,
        syntax,
        times,
        versions,
    )

    return {
        **addresses.FUNCTIONS,
        **collections.FUNCTIONS,
        **comparisons.FUNCTIONS,
        **encodings.FUNCTIONS,
        **formats.FUNCTIONS,
        **hashes.FUNCTIONS,
        **numbers.FUNCTIONS,
        **regexps.FUNCTIONS,
        **sets.FUNCTIONS,
        **strings.FUNCTIONS,
        **syntax.FUNCTIONS,
        **times.FUNCTIONS,
        **versions.FUNCTIONS,
    }

"""Checks of arguments of the public API: wrong types raise InvalidInput at the caller's line.

Type checkers find these faults, too. Programs that use none get the same error for each.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Collection, Mapping
from functools import wraps
from itertools import chain
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from lamina.base.errors import InvalidInput, LaminaError
from lamina.base.named_tuple import NamedTuple
from lamina.states.caller import at_caller
from lamina.states.node import Node

if TYPE_CHECKING:
    from typing import TypeGuard


P = ParamSpec("P")
R = TypeVar("R")
_SHOWN = 60
"""Characters of a value in a message."""


class Kind(NamedTuple):
    """A type of arguments, in words, and as a check."""

    words: str
    accepts: Callable[[Any], bool]


def _is_system_text(value: object) -> TypeGuard[str]:
    """Whether it is a text for the operating system, where surrogates stand for other bytes."""
    return isinstance(value, str) and "\0" not in value


def _is_text(value: object) -> TypeGuard[str]:
    return _is_system_text(value) and _is_unicode(value)


def _is_unicode(value: str) -> bool:
    """Whether it has no surrogates, which UTF-8 cannot encode."""
    return value.isascii() or not any("\ud800" <= character <= "\udfff" for character in value)


def _is_list(value: object) -> TypeGuard[Collection[Any]]:
    return isinstance(value, Collection) and not isinstance(value, str | bytes | Mapping)


def _is_number(value: object) -> bool:
    """Whether it is a finite number."""
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool)


def _is_path(value: object) -> bool:
    return _is_system_text(os.fspath(value) if isinstance(value, os.PathLike) else value)


TEXT = Kind("a text", _is_text)
TEXTS = Kind("a list of texts", lambda value: _is_list(value) and all(map(_is_text, value)))
SPECIFICATIONS = Kind(
    "a list of texts", lambda value: _is_list(value) and all(map(_is_system_text, value))
)
"""Texts as of flags, which may have paths."""
PATH = Kind("a path", _is_path)
PATHS = Kind("a list of paths", lambda value: _is_list(value) and all(map(_is_path, value)))
LIMITS = Kind(
    "a mapping: each value is (soft, hard)",
    lambda value: (
        isinstance(value, Mapping)
        and all(
            _is_text(key)
            and isinstance(limit, tuple | list)
            and [type(number) for number in limit] == [int, int]
            for key, limit in value.items()
        )
    ),
)
SWITCH = Kind("True or False", lambda value: isinstance(value, bool))
NUMBER = Kind("a number", _is_number)
INTEGER = Kind("an integer", lambda value: _is_number(value) and isinstance(value, int))
BYTES = Kind("bytes", lambda value: isinstance(value, bytes | bytearray))
DATA = Kind(
    "a text or bytes",
    lambda value: _is_unicode(value) if isinstance(value, str) else BYTES.accepts(value),
)
CALLABLE = Kind("a function", callable)
STATE = Kind("a state", lambda value: isinstance(getattr(value, "node", None), Node))


def mapping_of(kind: Kind) -> Kind:
    """A mapping of texts to a kind."""
    return Kind(
        f"a mapping: each value is {kind.words}",
        lambda value: (
            isinstance(value, Mapping)
            and all(_is_text(key) and kind.accepts(one) for key, one in value.items())
        ),
    )


PAIRS = mapping_of(TEXT)


def either(*kinds: Kind) -> Kind:
    return Kind(
        " or ".join(kind.words for kind in kinds),
        lambda value: any(kind.accepts(value) for kind in kinds),
    )


def listed(kind: Kind) -> Kind:
    """A list of a kind."""
    return Kind(
        f"a list: each is {kind.words}",
        lambda value: _is_list(value) and all(map(kind.accepts, value)),
    )


def optional(kind: Kind) -> Kind:
    return kind._replace(accepts=lambda value: value is None or kind.accepts(value))


MODE = optional(either(INTEGER, TEXT))
_USUAL = {
    **dict.fromkeys(("name", "owner", "path", "platform", "target", "user"), TEXT),
    **dict.fromkeys(("include", "exclude"), TEXTS),
}


def checked(**kinds: Kind) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Check the arguments of each call of a function. `*arguments` are checked one by one.

    Parameters with a usual name (`_USUAL`) need no kind. Errors of the function without a location
    get the caller's line.
    """
    wanted = {**_USUAL, **kinds}

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        code = function.__code__
        names = code.co_varnames[: code.co_argcount]
        rest = code.co_varnames[code.co_argcount + code.co_kwonlyargcount :][:1]

        @wraps(function)
        def call(*arguments: P.args, **named: P.kwargs) -> R:
            more = ((rest[0], value) for value in arguments[len(names) :] if rest)
            for name, value in chain(zip(names, arguments), more, named.items()):  # noqa: B905
                kind = wanted.get(name)
                if kind is not None and not kind.accepts(value):
                    raise at_caller(_wrong(function.__name__, name, value, kind))
            try:
                return function(*arguments, **named)
            except LaminaError as error:
                raise at_caller(error) from error.__cause__

        return call

    return decorate


def check_arguments(where: str, kinds: Mapping[str, Kind], **values: object) -> None:
    """Raises InvalidInput if a value is not of the kind with its name."""
    for name, value in values.items():
        if not kinds[name].accepts(value):
            raise at_caller(_wrong(where, name, value, kinds[name]))


def check_options(where: str, kinds: Mapping[str, Kind], options: Mapping[str, object]) -> None:
    """Raises InvalidInput for options without a kind, and for values that are not of it."""
    if unknown := sorted(options.keys() - kinds.keys()):
        from lamina.dockerfile.suggest import suggest

        raise at_caller(
            InvalidInput(
                f'{where}: unknown option "{unknown[0]}"', hint=suggest(unknown[0], sorted(kinds))
            )
        )
    check_arguments(where, kinds, **options)


def _wrong(where: str, name: str, value: object, kind: Kind) -> InvalidInput:
    if isinstance(value, str) and "\0" in value:
        return InvalidInput(f"{where}: {name} has a null character")
    if isinstance(value, str) and not _is_unicode(value):
        return InvalidInput(f"{where}: {name} is not valid Unicode: it has a surrogate")
    if isinstance(value, str) and _is_list_kind(kind):
        return InvalidInput(
            f"{where}: {name} is a text, not {kind.words}", hint=f"write a list: {name}=[{value!r}]"
        )
    shown = repr(value)
    shown = shown if len(shown) <= _SHOWN else shown[:_SHOWN] + "…"
    return InvalidInput(f"{where}: {name} is {shown}, not {kind.words}")


def _is_list_kind(kind: Kind) -> bool:
    return kind.words.startswith("a list")

"""lamina's NamedTuple behaves as that of `typing`."""

from __future__ import annotations

import pickle
import re
import typing
from pathlib import Path

import pytest

from lamina.base.named_tuple import NamedTuple


class Pair(NamedTuple):
    """A pair."""

    left: int
    right: Pair | None = None

    @property
    def depth(self) -> int:
        return 1 + (self.right.depth if self.right is not None else 0)

    def __bool__(self) -> bool:
        return self.left != 0


class Reference(typing.NamedTuple):
    """A pair."""

    left: int
    right: Pair | None = None


def test_classes_are_tuples_with_names_and_defaults() -> None:
    pair = Pair(1, right=Pair(2))
    assert tuple(pair) == (1, (2, None))
    assert pair._replace(left=3) == (3, (2, None))
    assert pair._asdict() == {"left": 1, "right": Pair(2)}
    assert repr(pair) == "Pair(left=1, right=Pair(left=2, right=None))"
    assert pair.depth == 2
    assert not Pair(0)
    with pytest.raises(TypeError):
        Pair()  # type: ignore[call-arg]  # the test
    with pytest.raises(AttributeError):
        pair.left = 2  # type: ignore[misc]  # the test


def test_classes_are_like_those_of_typing() -> None:
    for name in ("_fields", "_field_defaults", "__doc__", "__module__", "__match_args__"):
        assert getattr(Pair, name) == getattr(Reference, name), name
    assert typing.get_type_hints(Pair) == {"left": int, "right": Pair | None}
    assert Pair.__mro__[0] is Pair and Pair.__mro__[-2:] == (tuple, object)
    assert Pair.__qualname__ == "Pair"
    assert pickle.loads(pickle.dumps(Pair(1))) == Pair(1)


class Empty(NamedTuple):
    """Nothing."""


def test_a_class_without_fields() -> None:
    assert Empty() == ()
    assert repr(Empty()) == "Empty()"
    with pytest.raises(TypeError):
        Empty(1)  # type: ignore[call-arg]  # the test


def test_constructors_of_classes_with_as_many_fields() -> None:
    class First(NamedTuple):
        one: int
        two: int = 2

    class Second(NamedTuple):
        three: int
        four: int = 4

    assert (First(two=1, one=3), Second(three=5)) == ((3, 1), (5, 4))
    with pytest.raises(TypeError, match=r"First.__new__.*'three'"):
        First(three=1)  # type: ignore[call-arg]  # the test
    with pytest.raises(TypeError, match="Expected 2 arguments, got 3"):
        First._make((1, 2, 3))
    with pytest.raises(ValueError, match=r"unexpected field names: \['three'\]"):
        First(1)._replace(three=1)  # type: ignore[call-arg]  # the test
    assert not hasattr(First(1), "__dict__")


def test_fields_without_defaults_cannot_follow_defaults() -> None:
    with pytest.raises(TypeError, match="default"):

        class Wrong(NamedTuple):
            first: int = 0
            second: int  # type: ignore[misc]  # the test


def test_no_module_takes_that_of_typing() -> None:
    source = Path(__file__).parents[2] / "src" / "lamina"
    found = [
        str(path.relative_to(source))
        for path in source.rglob("*.py")
        if re.search(r"^\s*from typing import .*\bNamedTuple\b", path.read_text(), re.MULTILINE)
    ]
    assert found == ["base/named_tuple.py"]

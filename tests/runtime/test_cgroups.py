from __future__ import annotations

import pytest

from lamina.base.errors import InvalidInput
from lamina.runtime.cgroups import group_below


@pytest.mark.parametrize(
    ("parent", "place"),
    [
        ("", "/lamina"),
        ("foo", "/foo"),
        ("//foo//bar/", "/foo/bar"),
        ("/", ""),
        ("../../etc", "/etc"),
        ("a/../../..", ""),
        ("a.slice", "/a.slice"),
        ("a-b-c.slice:mine:", "/a.slice/a-b.slice/a-b-c.slice"),
    ],
)
def test_where_a_step_goes(parent: str, place: str) -> None:
    path = group_below(parent)
    assert path.rpartition("/")[0] == place
    assert path != group_below(parent)


def test_what_is_no_path() -> None:
    with pytest.raises(InvalidInput):
        group_below("a\0b")

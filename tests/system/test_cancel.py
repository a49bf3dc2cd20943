"""Children are cancelled with their parent, which does not keep them alive."""

from __future__ import annotations

import gc
import weakref

import pytest

from lamina.base.errors import Cancelled
from lamina.system.cancel import Cancellation


def test_a_child_is_cancelled_with_its_parent_and_not_the_reverse() -> None:
    parent = Cancellation()
    first, second = Cancellation(parent), Cancellation(parent)
    heard: list[str] = []
    with second.calling(lambda: heard.append("second")):
        first.cancel("only the first")
        assert not parent.cancelled
        assert not second.cancelled
        parent.cancel("all")
    assert heard == ["second"]
    with pytest.raises(Cancelled, match="only the first"):
        first.check()
    with pytest.raises(Cancelled, match="all"):
        second.check()


def test_a_child_of_a_cancelled_parent_is_cancelled() -> None:
    parent = Cancellation()
    parent.cancel("over")
    with pytest.raises(Cancelled, match="over"):
        Cancellation(parent).check()


def test_a_parent_does_not_keep_its_children() -> None:
    parent = Cancellation()
    child = Cancellation(parent)
    grandchild = Cancellation(child)
    gone = weakref.ref(child)
    del child, grandchild
    gc.collect()
    assert gone() is None
    parent.cancel()

"""Locks on files end with their holders, and waiting ends with the waiters."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from lamina.base.errors import Cancelled
from lamina.system.cancel import Cancellation
from lamina.system.locks import held

if TYPE_CHECKING:
    from pathlib import Path


def test_one_after_another(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    order: list[str] = []

    def second() -> None:
        with held(path, Cancellation()):
            order.append("second")

    with held(path, Cancellation()):
        thread = threading.Thread(target=second)
        thread.start()
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_waiting_ends_with_the_cancellation(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    cancel = Cancellation()
    with held(path, Cancellation()):
        threading.Timer(0.1, cancel.cancel).start()
        with pytest.raises(Cancelled), held(path, cancel):
            pass
    # A thread that only waited does not hold it.
    with held(path, Cancellation()):
        pass


def test_an_error_inside_the_lock_is_raised_unchanged(tmp_path: Path) -> None:
    with pytest.raises(BlockingIOError), held(str(tmp_path / "lock"), Cancellation()):
        raise BlockingIOError

"""Identical work that is asked for at the same time is done once."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Generic, TypeVar

from lamina.base.errors import Cancelled, PermissionDenied

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

T = TypeVar("T")


class _Flight(Generic[T]):
    __slots__ = ("done", "error", "value")

    def __init__(self) -> None:
        self.done = threading.Event()
        self.value: T | None = None
        self.error: BaseException | None = None


class Flights(Generic[T]):
    """Work by key. Whoever comes second waits for the first and gets the same, or its error.

    Only that the first one was cancelled, or not allowed to, is no business of the second: it does
    the work itself then.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._under_way: dict[Hashable, _Flight[T]] = {}

    def run(self, key: Hashable, work: Callable[[], T]) -> T:
        while True:
            with self._lock:
                flight = self._under_way.get(key)
                if flight is None:
                    flight = self._under_way[key] = _Flight()
                    break
            flight.done.wait()
            if flight.error is None:
                return flight.value  # type: ignore[return-value]  # set when there is no error
            if not isinstance(flight.error, Cancelled | PermissionDenied):
                raise flight.error
        try:
            flight.value = work()
            return flight.value
        except BaseException as error:
            flight.error = error
            raise
        finally:
            with self._lock:
                del self._under_way[key]
            flight.done.set()

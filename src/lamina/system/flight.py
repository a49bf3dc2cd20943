"""Single flight: identical work that is asked for at the same time is done once."""

from __future__ import annotations

import threading
from contextlib import nullcontext
from typing import TYPE_CHECKING, Generic, TypeVar

from lamina.base.errors import Cancelled, Internal, LaminaError, PermissionDenied

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from lamina.system.cancel import Cancellation

T = TypeVar("T")


class _Flight(Generic[T]):
    """One piece of work under way. All fields are guarded by the lock of its `Flights`."""

    __slots__ = ("done", "error", "repeat", "value")

    def __init__(self) -> None:
        self.done = False
        self.value: T | None = None
        self.error: Exception | None = None  # a copy that is never raised itself
        self.repeat = False  # the error concerns the first caller only


class Flights(Generic[T]):
    """Work by key. Callers that come while it runs wait for it and get its value or its error.

    Every waiter gets a copy of the error that was taken before the first caller could add to it:
    errors collect the location and the step of the caller that they pass through. Where the first
    caller was cancelled, interrupted or refused, a waiter does the work itself.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._under_way: dict[Hashable, _Flight[T]] = {}

    def run(self, key: Hashable, work: Callable[[], T], cancel: Cancellation | None = None) -> T:
        """Return what `work` returns for `key`. `cancel` ends waiting for another caller's work.

        Raises what `work` raises; Cancelled while waiting.
        """
        while True:
            with self._changed:
                flight = self._under_way.get(key)
                if flight is None:
                    flight = self._under_way[key] = _Flight()
                    break
            self._wait(flight, cancel)
            if flight.repeat:
                continue
            if flight.error is not None:
                raise _copy(flight.error)
            return flight.value  # type: ignore[return-value]  # set when there is no error
        value: T | None = None
        error: Exception | None = None
        repeat = True
        try:
            value = work()
            repeat = False
            return value
        except Exception as caught:
            error = _copy(caught)
            repeat = isinstance(caught, Cancelled | PermissionDenied)
            raise
        finally:
            with self._changed:
                del self._under_way[key]
                flight.value, flight.error, flight.repeat = value, error, repeat
                flight.done = True
                self._changed.notify_all()

    def _wait(self, flight: _Flight[T], cancel: Cancellation | None) -> None:
        with nullcontext() if cancel is None else cancel.calling(self._wake), self._changed:
            while not flight.done:
                if cancel is not None:
                    cancel.check()
                self._changed.wait()

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()


def _copy(error: Exception) -> Exception:
    """An error of the same kind and content, whose fields can be changed on their own."""
    import copy

    if isinstance(error, LaminaError):
        return error.again()
    try:
        twin = copy.copy(error)
    except Exception:  # its class cannot be made from its arguments
        twin = Internal(f"{type(error).__name__}: {error}")
    return twin.with_traceback(error.__traceback__)

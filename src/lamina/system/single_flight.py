"""Single flight: work that several threads request at the same time runs once."""

from __future__ import annotations

import threading
from contextlib import nullcontext
from typing import TYPE_CHECKING, Generic, TypeVar

from lamina.base.errors import Cancelled, Internal, LaminaError, PermissionDenied

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from lamina.system.cancel import Cancellation

T = TypeVar("T")


class _Call(Generic[T]):
    """One piece of work under way. All fields are guarded by the lock of its `SingleFlight`."""

    __slots__ = ("done", "error", "repeat", "value")

    def __init__(self) -> None:
        self.done = False
        self.value: T | None = None
        self.error: Exception | None = None  # a copy; each waiter raises a copy of it
        self.repeat = False  # the error concerns only the first caller


class SingleFlight(Generic[T]):
    """Runs work by key. A caller that arrives while it runs waits, and gets its value or error.

    Each waiter gets its own copy of the error. If the first caller was cancelled, interrupted or
    denied permission, one of the waiters runs the work itself.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._under_way: dict[Hashable, _Call[T]] = {}

    def run(self, key: Hashable, work: Callable[[], T], cancel: Cancellation | None = None) -> T:
        """Return what `work` returns for `key`. `cancel` stops waiting for another caller.

        Raises what `work` raises, and Cancelled while waiting.
        """
        while True:
            with self._changed:
                call = self._under_way.get(key)
                if call is None:
                    call = self._under_way[key] = _Call()
                    break
            self._wait(call, cancel)
            if call.repeat:
                continue
            if call.error is not None:
                raise _copy(call.error)
            return call.value  # type: ignore[return-value]  # set when there is no error
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
                call.value, call.error, call.repeat = value, error, repeat
                call.done = True
                self._changed.notify_all()

    def _wait(self, call: _Call[T], cancel: Cancellation | None) -> None:
        with nullcontext() if cancel is None else cancel.calling(self._wake), self._changed:
            while not call.done:
                if cancel is not None:
                    cancel.check()
                self._changed.wait()

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()


def _copy(error: Exception) -> Exception:
    """A separate error object of the same type and content."""
    import copy

    if isinstance(error, LaminaError):
        return error.again()
    try:
        clone = copy.copy(error)
    except Exception:  # its class does not accept its own `args`
        clone = Internal(f"{type(error).__name__}: {error}")
    return clone.with_traceback(error.__traceback__)

"""A build that runs: its progress events, and its result."""

from __future__ import annotations

import queue
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from lamina.base.errors import LaminaError
from lamina.builder.owning_process import OwningProcess
from lamina.states.caller import explained, find_caller
from lamina.system.cancel import Cancellation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Self

    from lamina.base.events import Event, EventSink

R = TypeVar("R")


class Running(Generic[R]):
    """Work in a thread. Iterate over it for its events, which end when the work ends.

    Use it in a `with` block: leaving the block early cancels the work and waits for its end.
    """

    def __init__(self, work: Callable[[EventSink, Cancellation], R]) -> None:
        self._work = work
        self._caller = find_caller()
        self._cancel = Cancellation()
        self._events: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self._future: Future[R] = Future()
        self._future.set_running_or_notify_cancel()  # only `cancel` stops the work
        self._process = OwningProcess()
        self._thread = threading.Thread(target=self._run, name="lamina-build", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[Event]:
        self._process.check("build")
        while (event := self._events.get()) is not None:
            yield event
        self._events.put(None)  # for further iterations

    def result(self, on_event: Callable[[Event], Any] | None = None) -> R:
        """Wait for the end. Raises what stopped the work.

        An exception in the waiting thread, such as KeyboardInterrupt, cancels the work and is
        raised when the work has ended.

        Args:
            on_event: gets the events that nobody has iterated over.
        """
        self._process.check("build")
        try:
            for event in self:
                if on_event is not None:
                    on_event(event)
        except BaseException:
            self.cancel()
            self._thread.join()
            raise
        self._thread.join()
        return self._future.result()

    def cancel(self) -> None:
        """Stop the work. `result` then raises Cancelled, unless the work ended before."""
        self._process.check("build")
        self._cancel.cancel()

    @property
    def done(self) -> bool:
        """Whether the work has ended."""
        return self._future.done()

    def add_done_callback(self, listener: Callable[[], None]) -> None:
        """Call `listener` when the work has ended, in another thread; at once if it has."""
        self._future.add_done_callback(lambda _: listener())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._process.is_current:
            self.cancel()
            self._thread.join()

    def _run(self) -> None:
        try:
            result = self._work(self._events.put, self._cancel)
        except LaminaError as error:
            located = error if self._caller is None else error.at(self._caller.location())
            self._future.set_exception(explained(located))
        except BaseException as error:
            self._future.set_exception(error)
        else:
            self._future.set_result(result)
        self._events.put(None)

"""A bounded pool of threads, started when there is work and joined by its owner."""

from __future__ import annotations

import threading
import time
from collections import deque
from contextlib import contextmanager
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from lamina.system.cancel import Cancellation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import TracebackType

T = TypeVar("T")


class WorkerPool:
    """Runs callables in up to `limit` threads. A callable must handle its own errors.

    Leaving the `with` block waits for queued work, and then joins all threads.
    """

    def __init__(self, limit: int, name: str = "worker") -> None:
        self._limit = limit
        self._name = name
        self._changed = threading.Condition()
        self._queue: deque[Callable[[], object]] = deque()
        self._threads: list[threading.Thread] = []
        self._idle = 0
        self._called = False  # whether a thread was woken or started for the queue
        self._closed = False
        self._own = threading.local()

    def submit(self, work: Callable[[], object]) -> None:
        """Queue work, which runs in the caller's context (`contextvars`).

        Raises RuntimeError if the pool is closed, or if it has no thread and cannot start one.
        """
        work = partial(copy_context().run, work)
        with self._changed:
            if self._closed:
                raise RuntimeError("the pool is closed")
            self._queue.append(work)
            try:
                self._call_a_thread()
            except RuntimeError:
                self._queue.pop()
                raise

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Wait for other work of this pool in the block: one more thread may run meanwhile.

        Does nothing in a thread that is not of the pool."""
        if not getattr(self._own, "serves", False):
            yield
            return
        with self._changed:
            self._limit += 1
            self._call_a_thread()
        try:
            yield
        finally:
            with self._changed:
                self._limit -= 1
                self._changed.notify()  # a surplus thread ends

    def _call_a_thread(self) -> None:
        """Wake or start a thread for the queue. Called with the lock held.

        One is called at a time, and it calls the next when it has taken its work. So many short
        pieces of work need few threads, and blocking work still gets up to `limit`.
        """
        if self._called or not self._queue:
            return
        if self._idle:
            self._called = True
            self._changed.notify()
        elif len(self._threads) < self._limit:
            thread = threading.Thread(
                target=self._serve, name=f"{self._name}-{len(self._threads)}", daemon=True
            )
            try:
                thread.start()
            except (
                RuntimeError
            ):  # the system has no more threads; the existing ones have to suffice
                if not self._threads:
                    raise
            else:
                self._called = True
                self._threads.append(thread)

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self, seconds: float | None = None) -> bool:
        """Reject further work, and wait up to `seconds` for queued and running work.

        Returns whether all threads have ended, except the caller's.
        """
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        deadline = None if seconds is None else time.monotonic() + seconds
        while others := self._others():
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            others[0].join(left)
            if left == 0.0:
                return not self._others()
        return True

    def _others(self) -> list[threading.Thread]:
        """The running threads except the current one; each may still start another."""
        with self._changed:
            own = threading.current_thread()
            return [thread for thread in self._threads if thread.is_alive() and thread is not own]

    @property
    def _too_many(self) -> bool:
        return len(self._threads) > self._limit

    def _serve(self) -> None:
        self._own.serves = True
        while True:
            with self._changed:
                self._idle += 1
                while not (self._queue or self._closed or self._too_many):
                    self._changed.wait()
                self._idle -= 1
                if not self._queue:
                    if not self._closed:
                        self._threads.remove(threading.current_thread())
                    return
                work = self._queue.popleft()
                self._called = False
                self._call_a_thread()
            work()
            del work  # else its objects would live until there is more work


def in_parallel(
    items: Sequence[T],
    work: Callable[[T, Cancellation], object],
    limit: int,
    cancel: Cancellation,
) -> None:
    """Run `work` on each item, up to `limit` at a time, started in order.

    The first error cancels the others, and is raised when all have ended.
    """
    if len(items) == 1:
        work(items[0], cancel)
        return
    shared = Cancellation(cancel)
    lock = threading.Lock()
    failure: list[BaseException] = []

    def one(item: T) -> None:
        try:
            shared.check()
            work(item, shared)
        except BaseException as error:
            with lock:
                failure.append(error)
            shared.cancel("another transfer failed")

    with WorkerPool(limit, "transfer") as pool:
        for item in items:
            pool.submit(partial(one, item))
    cancel.check()
    if failure:
        raise failure[0]

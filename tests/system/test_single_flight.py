"""Callers of shared work get the same value, and each a separate copy of an error."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from lamina.base.errors import Cancelled, Corrupt, LaminaError, PermissionDenied
from lamina.system.cancel import Cancellation
from lamina.system.single_flight import SingleFlight

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_WAITERS = 4


class Work:
    """Runs when it is released; fails with each of `errors` in turn, then succeeds."""

    def __init__(self, *errors: BaseException) -> None:
        self.runs = 0
        self.started = threading.Event()
        self.gate = threading.Event()
        self._errors = list(errors)

    def __call__(self) -> str:
        self.runs += 1
        self.started.set()
        assert self.gate.wait(20)
        if self._errors:
            raise self._errors.pop(0)
        return f"run {self.runs}"


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(_WAITERS + 1) as threads:
        yield threads


def start(
    threads: ThreadPoolExecutor, work: Work, call: Callable[[], str]
) -> tuple[Future[str], list[Future[str]]]:
    """The first caller, whose work runs until `work.gate` is set, and those that wait for it."""
    first = threads.submit(call)
    assert work.started.wait(20)
    waiting = [threads.submit(call) for _ in range(_WAITERS)]
    time.sleep(0.05)  # they may come later: then they are not waiters, and the test covers less
    return first, waiting


def test_all_callers_get_the_value_of_one_run(threads: ThreadPoolExecutor) -> None:
    single_flight, work = SingleFlight[str](), Work()
    first, waiting = start(threads, work, lambda: single_flight.run("key", work))
    work.gate.set()
    assert {call.result(20) for call in (first, *waiting)} == {"run 1"}


@pytest.mark.parametrize(
    "error", [Corrupt("the layer holds other bytes"), OSError(5, "I/O error", "/blob")]
)
def test_context_that_a_caller_adds_to_an_error_is_not_shared(
    threads: ThreadPoolExecutor, error: Exception
) -> None:
    """The first caller has changed its copy of the error before the others read theirs."""
    single_flight, work, text_of_error = SingleFlight[str](), Work(error), str(error)
    first_is_done = threading.Event()

    def call(name: str) -> tuple[type, str, object, Exception]:
        try:
            single_flight.run("key", work)
        except Exception as caught:
            if name == "first":
                caught.args = ("changed",)
                caught.add_note("seen by the first")
                first_is_done.set()
            assert first_is_done.wait(20)
            return type(caught), str(caught), getattr(caught, "__notes__", None), caught
        raise AssertionError("no error")

    first = threads.submit(call, "first")
    assert work.started.wait(20)
    waiting = [threads.submit(call, f"waiter {n}") for n in range(_WAITERS)]
    time.sleep(0.05)
    work.gate.set()
    found = [first.result(20), *(call.result(20) for call in waiting)]
    assert work.runs == 1
    assert len({id(caught) for *_, caught in found}) == len(found)
    assert {(kind, text, notes) for kind, text, notes, _ in found[1:]} == {
        (type(error), text_of_error, None)
    }


def test_an_error_that_cannot_be_copied_keeps_its_message(threads: ThreadPoolExecutor) -> None:
    class Odd(Exception):
        def __init__(self, one: int, two: int) -> None:
            super().__init__(f"{one} and {two}")

    single_flight, work = SingleFlight[str](), Work(Odd(1, 2))
    first, waiting = start(threads, work, lambda: single_flight.run("key", work))
    work.gate.set()
    with pytest.raises(Odd, match="1 and 2"):
        first.result(20)
    for call in waiting:
        with pytest.raises(LaminaError, match="Odd: 1 and 2"):
            call.result(20)


@pytest.mark.parametrize(
    "error", [Cancelled("the first client left"), PermissionDenied("no login"), SystemExit(3)]
)
def test_errors_of_the_first_caller_only_are_not_shared(
    threads: ThreadPoolExecutor, error: BaseException
) -> None:
    single_flight, work = SingleFlight[str](), Work(error)
    first, waiting = start(threads, work, lambda: single_flight.run("key", work))
    work.gate.set()
    with pytest.raises(type(error)):
        first.result(20)
    assert {call.result(20) for call in waiting} <= {f"run {n}" for n in range(2, _WAITERS + 2)}


def test_a_waiter_is_cancelled_while_the_work_goes_on(threads: ThreadPoolExecutor) -> None:
    single_flight, work, cancel = SingleFlight[str](), Work(), Cancellation()
    first = threads.submit(single_flight.run, "key", work)
    assert work.started.wait(20)
    waiting = threads.submit(single_flight.run, "key", work, cancel)
    cancel.cancel("interrupted")
    with pytest.raises(Cancelled, match="interrupted"):
        waiting.result(20)
    assert not first.done()
    work.gate.set()
    assert first.result(20) == "run 1"

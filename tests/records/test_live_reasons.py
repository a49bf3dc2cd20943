"""Explanations never make a build fail, whatever goes wrong with them."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from lamina.api.history import BuildHistoryRecord
from lamina.base.digest import digest_of
from lamina.base.events import VertexEvent
from lamina.records.recorder import BuildRecorder
from lamina.records.table import RecordTable
from lamina.solver.lookup import CacheLookup
from lamina.stores.store import open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from lamina.base.events import Event
    from lamina.stores.store import Store

_STEP = digest_of(b"step")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(str(tmp_path / "store")) as store:
        yield store


def build(store: Store, ref: str, before_end: Callable[[], object] = lambda: None) -> list[Event]:
    """A build of one step that misses the cache. Returns the events that displays get."""
    seen: list[Event] = []
    table = RecordTable(store)
    record = BuildHistoryRecord(ref, "dockerfile.v0", context_path="/context")
    with BuildRecorder(store, table, record, ended=lambda *_: None) as recorder:
        sink = recorder.tee(seen.append)
        recorder.look_up(CacheLookup(str(_STEP), f"key of {ref}"))
        sink(VertexEvent(_STEP, "[1/1] RUN true", (), 1.0))
        before_end()
        recorder.finish()
    assert table.row(ref) is not None
    return seen


def test_no_thread_can_be_started(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    build(store, "one")

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        events = build(store, "two")
    assert [type(event) for event in events] == [VertexEvent]


@pytest.mark.parametrize("error", [ValueError("unforeseen"), RecursionError(), MemoryError()])
def test_an_unforeseen_error(
    store: Store, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    build(store, "one")
    caught: list[object] = []
    failed = threading.Event()

    def fail(*_: object) -> None:
        failed.set()
        raise error

    monkeypatch.setattr(threading, "excepthook", caught.append)
    monkeypatch.setattr("lamina.records.live_reasons.explained_steps", fail)
    events = build(store, "two", lambda: failed.wait(60))
    assert failed.is_set()
    assert [type(event) for event in events] == [VertexEvent]
    assert caught == []

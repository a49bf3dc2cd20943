from __future__ import annotations

import json
import os
import threading
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.api.control import SCHEMA as CONTROL
from lamina.api.descriptor import Descriptor
from lamina.api.history import SCHEMA, BuildHistoryRecord
from lamina.api.history import BuildHistoryEventType as Kind
from lamina.api.progress import StatusResponse
from lamina.api.timestamp import at_seconds
from lamina.base.digest import digest_of, parse_digest
from lamina.base.errors import AlreadyExists, InvalidInput, NotFound
from lamina.base.events import LogEvent, VertexEvent
from lamina.daemon.config import LogConfig
from lamina.daemon.history import History
from lamina.daemon.log import Log
from lamina.engine.maintenance.prune import PruneRule, prune
from lamina.records.filter import parse_history_filters
from lamina.records.recorder import Result
from lamina.records.retention import Retention
from lamina.records.rows import RecordRow
from lamina.records.table import status_of
from lamina.stores.store import open_store
from lamina.system.cancel import Cancellation
from lamina.wire.contract import Code, StatusError
from lamina.wire.protobuf import decode

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lamina.stores.store import Store

STEP = digest_of(b"step")
NEVER = Cancellation()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(str(tmp_path / "store")) as store:
        yield store


def make(store: Store, config: Retention | None = None) -> History:
    log = Log(LogConfig(level="panic"))
    return History(store, config or Retention(), log, lambda: None)


@pytest.fixture
def history(store: Store) -> History:
    return make(store)


def lines(messages: Iterator[bytes]) -> list[bytes]:
    found: StatusResponse = decode(b"".join(messages), StatusResponse, CONTROL)
    return [line.msg for line in found.logs]


def found(history: History, *filters: str, ref: str = "", limit: int = 0) -> list[str]:
    records = history.records.find(ref, parse_history_filters(filters), limit)
    return [decode(record, BuildHistoryRecord, SCHEMA).ref for record in records]


def build(history: History, ref: str, *output: bytes, **attributes: str) -> None:
    record = BuildHistoryRecord(ref, frontend_attrs=tuple(attributes.items()))
    with history.begin(record) as running:
        for line in output:
            running.event_sink(LogEvent(STEP, 1, line, 0.0))


def test_a_build_from_beginning_to_end(history: History, store: Store) -> None:
    running = history.begin(BuildHistoryRecord("one", "dockerfile.v0"))
    assert [record.ref for record in history.running()] == ["one"]
    assert found(history) == []
    with pytest.raises(AlreadyExists):
        history.begin(BuildHistoryRecord("one"))
    running.event_sink(VertexEvent(STEP, "a", started=1.0, completed=2.0, cached=True))
    running.event_sink(VertexEvent(digest_of(b"b"), "b", started=1.0))
    running.event_sink(LogEvent(STEP, 1, b"hello", 1.0))
    watching = history.status("one", NEVER)
    first = next(watching)
    output = Descriptor("application/vnd.oci.image.manifest.v1+json", STEP, 5)
    running.finish([("containerimage.digest", STEP)], Result(((0, output),)))
    running.finish(error=NotFound("a second end changes nothing"))
    assert lines(iter([first, *watching])) == [b"hello"]
    record = history.records.get("one")
    assert record is not None
    assert (record.num_total_steps, record.num_completed_steps, record.num_cached_steps) == (
        2,
        1,
        1,
    )
    assert record.error is None
    assert record.result is not None
    assert record.result.results[0].descriptor == output == record.result.result_deprecated
    assert record.logs is not None
    assert store.blobs.size(parse_digest(record.logs.digest)) == record.logs.size
    assert record.trace is not None
    assert b'"Name": "b"' in store.blobs.read(parse_digest(record.trace.digest))
    assert lines(history.status("one", NEVER)) == [b"hello"]
    assert history.running() == []
    assert os.listdir(store.scratch) == []


def test_the_error_of_a_build_is_recorded(history: History, store: Store) -> None:
    with pytest.raises(InvalidInput), history.begin(BuildHistoryRecord("bad")):
        raise InvalidInput("nonsense")
    with pytest.raises(ZeroDivisionError), history.begin(BuildHistoryRecord("worse")):
        raise ZeroDivisionError("private details")
    with history.begin(BuildHistoryRecord("gone")) as running:
        running.finish(error=StatusError(Code.CANCELLED, "context canceled"))
    bad, worse, gone = (history.records.get(ref) for ref in ("bad", "worse", "gone"))
    assert bad and bad.error and bad.external_error and worse and worse.error and gone
    assert (bad.error.message, bad.error.details) == ("nonsense", ())
    assert b"nonsense" in store.blobs.read(parse_digest(bad.external_error.digest))
    assert worse.error.message == "the build failed unexpectedly"
    assert [status_of(record) for record in (bad, worse, gone)] == ["error", "error", "canceled"]
    assert found(history, "status==canceled") == ["gone"]


def test_a_build_that_is_not_kept(history: History) -> None:
    with history.begin(BuildHistoryRecord("private"), kept=False) as running:
        running.event_sink(LogEvent(STEP, 1, b"x", 0.0))
        assert history.running() == []
        watching = history.status("private", NEVER)
        first = next(watching)
    assert lines(iter([first, *watching])) == [b"x"]
    assert found(history) == []


def test_progress_can_be_requested_before_the_build_starts(history: History) -> None:
    heard: list[bytes] = []
    thread = threading.Thread(target=lambda: heard.extend(history.status("soon", NEVER)))
    thread.start()
    time.sleep(0.05)
    build(history, "soon", b"x")
    thread.join(5)
    assert lines(iter(heard)) == [b"x"]


def test_progress_of_a_build_that_never_begins(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lamina.daemon.history._APPEARS", 0.05)
    with pytest.raises(NotFound, match="no such job never"):
        list(history.status("never", NEVER))


def test_listening(history: History) -> None:
    build(history, "before")
    running = history.begin(BuildHistoryRecord("now"))
    cancel, ending = Cancellation(), Cancellation()
    events: list[tuple[Kind | str, str]] = []

    def past() -> None:
        events.append(("past", ",".join(found(history))))

    def listen() -> None:
        for event in history.listen("", past, cancel, ending):
            events.append((event.kind, event.record.ref))

    thread = threading.Thread(target=listen)
    thread.start()
    while len(events) < 2:
        time.sleep(0.01)
    build(history, "next")
    history.pin("before", True)
    history.delete("next")
    running.finish()
    ending.cancel()
    thread.join(5)
    assert not thread.is_alive()
    assert events == [
        (Kind.STARTED, "now"),
        ("past", "before"),
        (Kind.STARTED, "next"),
        (Kind.COMPLETE, "next"),
        (Kind.COMPLETE, "before"),
        (Kind.DELETED, "next"),
        (Kind.COMPLETE, "now"),
    ]


def test_a_listener_that_leaves(history: History) -> None:
    cancel = Cancellation()
    thread = threading.Thread(
        target=lambda: list(history.listen("", lambda: None, cancel, Cancellation()))
    )
    thread.start()
    cancel.cancel()
    thread.join(5)
    assert not thread.is_alive()
    assert history._listeners == []


def test_pinning(history: History) -> None:
    build(history, "one")
    history.pin("one", True)
    record = history.records.get("one")
    assert record is not None
    assert (record.pinned, record.generation) == (True, 1)
    with pytest.raises(NotFound):
        history.pin("none", True)
    history.delete("none")


def test_old_records_go_unless_they_are_few_or_pinned(store: Store) -> None:
    history = make(store, Retention(0.0, 3))
    for number in range(6):
        build(history, f"b{number}")
        history.pin("b0", True)
    assert found(history) == ["b5", "b4", "b3", "b0"]
    assert found(make(store, Retention(3600.0, 0))) == ["b5", "b4", "b3", "b0"]
    assert found(make(store, Retention(0.0, 0))) == ["b0"]


def test_records_survive_and_keep_their_blobs(store: Store, history: History) -> None:
    build(history, "one", b"x")
    everything = PruneRule(lambda record: True, all=True)
    prune(store, [everything], NEVER, lambda record: None)
    again = make(store)
    assert lines(again.status("one", NEVER)) == [b"x"]
    again.delete("one")
    prune(store, [everything], NEVER, lambda record: None)
    assert list(store.blobs.digests()) == []


def test_records_whose_blobs_were_lost_are_forgotten(store: Store, history: History) -> None:
    build(history, "one", b"x")
    build(history, "two", b"y")
    record = history.records.get("one")
    assert record and record.logs
    store.blobs.remove(parse_digest(record.logs.digest))
    assert found(make(store)) == ["two"]


def test_filters(history: History) -> None:
    build(history, "foo1")
    build(history, "bar2", context="https://github.com/user/repo.git#abc")
    build(history, "foo3", **{"vcs:source": "testrepo"})
    assert found(history) == ["foo3", "bar2", "foo1"]
    assert found(history, limit=2) == ["foo3", "bar2"]
    assert found(history, ref="bar2") == ["bar2"]
    assert found(history, "ref~=foo") == ["foo3", "foo1"]
    assert found(history, "ref~=foo", limit=1) == ["foo3"]
    assert found(history, "ref==foo") == []
    assert found(history, "repository!=testrepo") == ["bar2", "foo1"]
    assert found(history, "repository==https://github.com/user/repo.git") == ["bar2"]
    assert found(history, "status==completed,ref~=foo") == ["foo3", "foo1"]
    assert found(history, "ref==foo1", "ref==bar2") == ["bar2", "foo1"]
    assert found(history, "status==running") == []


def test_filters_by_time() -> None:
    now = time.time()
    row = RecordRow("x", now - 3600, now - 3000, "completed")

    def holds(text: str) -> bool:
        condition = parse_history_filters([text])
        assert condition is not None
        return condition(row)

    assert holds("startedAt>2h")
    assert not holds("startedAt>30m")
    assert holds("completedAt<30m")
    assert holds("completedAt>2020-01-02T03:04:05Z")
    assert holds("duration>=600s")
    assert not holds("duration<10m")
    assert holds('"ref==x",duration>1m')
    for bad in ("startedAt>yesterday", "duration>x", "duration>=", "startedAt>2020-01-02", '"a'):
        with pytest.raises(InvalidInput):
            parse_history_filters([bad])


@given(st.text('refstatusdurationA<>=!~,". 1hm'))
def test_any_filter_is_read_or_refused(text: str) -> None:
    try:
        condition = parse_history_filters([text])
        assert condition is not None
        condition(RecordRow("x", 1.0, 2.0, "error"))
    except InvalidInput as error:
        assert "filter" in str(error)


def test_ten_thousand_records(store: Store, history: History) -> None:
    logs = Descriptor("x", store.blobs.put(b""), 0)
    with store.database.write():
        for number in range(10_000):
            history.records.put(
                BuildHistoryRecord(
                    f"ref{number}",
                    "dockerfile.v0",
                    (("context", "https://github.com/u/r.git"), ("filename", "Dockerfile")),
                    created_at=at_seconds(1000.0 + number),
                    completed_at=at_seconds(2000.0 + number),
                    logs=logs,
                )
            )
    assert found(history, limit=2) == ["ref9999", "ref9998"]
    assert found(history, "ref~=ref12.4$", limit=50) == [f"ref12{n}4" for n in range(9, -1, -1)]
    assert len(found(history)) == 10_000
    make(store, Retention(0.0, 100))
    assert len(found(history)) == 100


def test_documents_of_an_image_stay_with_its_record(store: Store, history: History) -> None:
    """Clients export records: an image's documents belong to the record, its layers do not."""
    config, layer, statement = (store.blobs.put(data) for data in (b"{}", b"layer", b"{ }"))
    entries = [
        {"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": layer, "size": 5},
        {"mediaType": "application/vnd.in-toto+json", "digest": statement, "size": 3},
    ]
    told = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": 2}
    kind = "application/vnd.oci.image.manifest.v1+json"
    document = {"schemaVersion": 2, "mediaType": kind, "config": told, "layers": entries}
    data = json.dumps(document).encode()
    manifest = store.blobs.put(data)
    with history.begin(BuildHistoryRecord("one")) as running:
        running.finish(result=Result(((0, Descriptor(kind, manifest, len(data))),)))
    prune(store, [PruneRule(lambda record: True, all=True)], NEVER, lambda record: None)
    left = set(store.blobs.digests())
    assert left >= {manifest, config, statement}
    assert layer not in left
    again = make(store)
    assert found(again) == ["one"]
    again.delete("one")
    prune(store, [PruneRule(lambda record: True, all=True)], NEVER, lambda record: None)
    assert list(store.blobs.digests()) == []

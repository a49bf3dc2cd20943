"""Records on a real store: written during a build, complete at its end and after a kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from lamina.api.history import BuildHistoryRecord
from lamina.api.outputs import CacheOptionsEntry
from lamina.api.progress import SCHEMA, StatusResponse
from lamina.base.digest import Digest, digest_of, parse_digest
from lamina.base.errors import CONTEXT_CANCELLED, Cancelled, Exhausted, InvalidInput
from lamina.base.events import LogEvent, VertexEvent
from lamina.llb.codec import decode_definition
from lamina.llb.op import Definition
from lamina.records.progress_log import replay
from lamina.records.recorder import BuildRecorder
from lamina.records.recovery import KILLED, recover
from lamina.records.request import recorded_attributes, recorded_cache
from lamina.records.retention import Retention
from lamina.records.rows import RUNNING
from lamina.records.table import RecordTable, name_of
from lamina.solver.lookup import CacheLookup, KeyPart
from lamina.stores.store import open_store
from lamina.wire.protobuf import decode

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lamina.base.errors import LaminaError
    from lamina.base.events import Event
    from lamina.stores.store import Store

STEP = digest_of(b"step")
CONTENT = digest_of(b"content")
LOOKUP = CacheLookup(
    STEP, "sha256:1", "sha256:2", "", (KeyPart("sha256:3", 0, "/a", CONTENT, True),), recorded=True
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(str(tmp_path / "store")) as store:
        yield store


def record_of(ref: str, **attributes: str) -> BuildHistoryRecord:
    return BuildHistoryRecord(ref, "dockerfile.v0", tuple(attributes.items()))


def log_of(store: Store, record: BuildHistoryRecord) -> StatusResponse:
    assert record.logs is not None
    data = b"".join(replay(store.blobs.path(parse_digest(record.logs.digest))))
    found: StatusResponse = decode(data, StatusResponse, SCHEMA)
    return found


def test_a_record_from_start_to_end(store: Store) -> None:
    table = RecordTable(store)
    seen: list[Event] = []
    with BuildRecorder(store, table, record_of("a", filename="x.Dockerfile")) as recorder:
        row = table.row("a")
        assert row is not None and (row.status, row.name) == (RUNNING, "x.Dockerfile")
        sink = recorder.tee(seen.append)
        sink(VertexEvent(STEP, "RUN make", started=1.0, completed=2.0, cached=True))
        sink(LogEvent(STEP, 1, b"out", 1.5))
        recorder.look_up(LOOKUP)
        recorder.define(Definition(ops=(b"op",)))
        recorder.define(Definition(ops=(b"op",)))
        recorder.finish([("containerimage.digest", "sha256:0")])
    assert [type(event) for event in seen] == [VertexEvent, LogEvent]
    record = table.get("a")
    assert record is not None and record.completed_at is not None
    assert record.exporter_response == (("containerimage.digest", "sha256:0"),)
    assert (record.num_total_steps, record.num_cached_steps) == (1, 1)
    log = log_of(store, record)
    assert [(v.name, v.cached) for v in log.vertexes] == [("RUN make", True)]
    assert [line.msg for line in log.logs] == [b"out"]
    assert log.lookups == (LOOKUP,)
    [definition] = log.definitions
    assert decode_definition(store.blobs.read(Digest(definition))).ops == (b"op",)
    assert os.listdir(store.path("records")) == []
    needed = {row[0] for row in store.database.rows("SELECT digest FROM build_blobs")}
    assert definition in needed and record.logs is not None and record.logs.digest in needed
    assert store.database.rows("SELECT digest FROM build_contents") == [(f"{CONTENT} /a",)]


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (InvalidInput("no such stage"), "error", "no such stage"),
        (Cancelled(CONTEXT_CANCELLED), "canceled", "context canceled"),
        (KeyError("x"), "error", "the build failed unexpectedly"),
    ],
)
def test_a_failed_build(store: Store, error: Exception, status: str, message: str) -> None:
    table = RecordTable(store)
    with pytest.raises(type(error)), BuildRecorder(store, table, record_of("a")):
        raise error
    record, row = table.get("a"), table.row("a")
    assert record is not None and record.error is not None and row is not None
    assert message in record.error.message
    assert row.status == status
    assert record.external_error is not None


def test_a_build_that_is_not_kept_is_only_watched(store: Store) -> None:
    table = RecordTable(store)
    with BuildRecorder(store, table, record_of("a"), kept=False) as recorder:
        recorder.event_sink(LogEvent(STEP, 1, b"out", 1.5))
        assert table.rows() == []
    assert table.rows() == []


def test_a_full_disk_costs_the_record_only(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    table = RecordTable(store)
    failures: list[LaminaError] = []

    def full(*_: object) -> None:
        raise Exhausted("no space left on device")

    monkeypatch.setattr(table, "put", full)
    with BuildRecorder(store, table, record_of("a"), failed=failures.append) as recorder:
        recorder.finish()
    assert [error.reason for error in failures] == ["no space left on device"]
    assert table.rows() == []


_CHILD = """
import sys, time
from lamina.api.history import BuildHistoryRecord
from lamina.base.digest import Digest
from lamina.base.events import LogEvent, VertexEvent
from lamina.records.recorder import BuildRecorder
from lamina.records.table import RecordTable
from lamina.stores.store import open_store

step = Digest("sha256:" + "1" * 64)
with open_store(sys.argv[1]) as store:
    recorder = BuildRecorder(store, RecordTable(store), BuildHistoryRecord("killed"))
    recorder.event_sink(VertexEvent(step, "RUN sleep", started=1.0))
    recorder.event_sink(LogEvent(step, 1, b"still here", 1.5))
    print("ready", flush=True)
    time.sleep(60)
"""


def test_a_killed_build_leaves_a_record_that_says_so(store: Store) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", _CHILD, store.root], stdout=subprocess.PIPE, text=True
    )
    table = RecordTable(store)
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        assert recover(store, table) == []  # it still runs
        row = table.row("killed")
        assert row is not None and row.status == RUNNING
        [journal] = os.listdir(store.path("records"))
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
        if child.stdout is not None:
            child.stdout.close()
    with open(store.path("records", journal), "ab") as file:
        file.write(b"\x40\0\0\0cut")  # half a frame
    assert recover(store, table) == ["killed"]
    assert recover(store, table) == []
    record, row = table.get("killed"), table.row("killed")
    assert record is not None and record.error is not None and row is not None
    assert record.error.message == KILLED
    assert (row.status, record.num_total_steps, record.num_completed_steps) == ("error", 1, 0)
    assert [line.msg for line in log_of(store, record).logs] == [b"still here"]
    assert os.listdir(store.path("records")) == []


def test_a_killed_build_whose_log_is_gone(store: Store) -> None:
    table = RecordTable(store)
    table.begin(record_of("a"), "nothing")
    with store.database.write() as connection:
        connection.execute("UPDATE builds SET process = 'dead'")
    assert recover(store, table) == ["a"]
    record = table.get("a")
    assert record is not None and record.logs is None and record.error is not None


def put(store: Store, ref: str, size: int, age: float = 0.0) -> None:
    table = RecordTable(store)
    with BuildRecorder(store, table, record_of(ref)) as recorder:
        recorder.event_sink(LogEvent(STEP, 1, os.urandom(size), 1.0))
    with store.database.write() as connection:
        connection.execute(
            "UPDATE builds SET completed = ? WHERE ref = ?", (time.time() - age, ref)
        )


def test_retention_by_age_count_and_size(store: Store) -> None:
    table = RecordTable(store)
    for number in range(6):
        put(store, f"b{number}", 10_000, age=1000.0 - number)
    assert table.expire(Retention(2000.0, 0, 0)) == []
    assert table.expire(Retention(10.0, 5, 0)) == ["b0"]
    assert table.pin("b1", True) is not None
    assert sorted(table.expire(Retention(2000.0, 0, 35_000))) == ["b2", "b3"]
    assert {row.ref for row in table.rows()} == {"b1", "b4", "b5"}


def test_the_latest_build_of_a_target(store: Store) -> None:
    table = RecordTable(store)
    for ref, target in (("a", "x"), ("b", "y"), ("c", "x")):
        with BuildRecorder(store, table, record_of(ref, target=target)):
            pass
    found = table.get("c")
    assert found is not None and found.created_at is not None
    moment = found.created_at.nanoseconds / 1e9
    latest = table.latest(table.target("c"), moment)
    assert latest is not None and latest.ref == "a"
    assert table.latest("nothing", moment) is None


@pytest.mark.parametrize(
    ("record", "name"),
    [
        (record_of("a"), ""),
        (record_of("a")._replace(context_path="/src/web"), "web"),
        (record_of("a", filename="ci.Dockerfile", target="test"), "ci.Dockerfile (test)"),
        (record_of("a", context="https://host/x.git#main"), "https://host/x.git#main"),
        (record_of("a", **{"vcs:source": "https://host/y/app.git"}), "app"),
    ],
)
def test_names(record: BuildHistoryRecord, name: str) -> None:
    assert name_of(record) == name


def test_requests_are_recorded_without_credentials() -> None:
    entry = recorded_cache(
        "s3", [("bucket", "b"), ("secret_access_key", "hush"), ("session_token", "")]
    )
    assert entry == CacheOptionsEntry(
        "s3", (("bucket", "b"), ("secret_access_key", "xxxxx"), ("session_token", ""))
    )
    assert recorded_attributes({"context": "https://me:pw@host/x.git"}) == (
        ("context", "https://xxxxx:xxxxx@host/x.git"),
    )

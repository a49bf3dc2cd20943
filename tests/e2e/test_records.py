"""The record that every build leaves in its store."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lamina.records.rows import RUNNING
from lamina.records.steps import read_log, read_steps
from lamina.records.table import RecordTable
from lamina.stores.contents import ContentTable
from lamina.stores.store import open_store
from tests.commands import Lamina, RemoteLamina
from tests.daemon_process import DaemonProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from lamina.api.history import BuildHistoryRecord
    from lamina.records.steps import Step
    from lamina.stores.store import Store

_DOCKERFILE = """
FROM base
COPY src /src
RUN --mount=type=bind,source=src,target=/in cat /in/a && echo output
"""


@contextmanager
def records(lamina: Lamina) -> Iterator[tuple[Store, list[BuildHistoryRecord]]]:
    """The records of a store, the newest first."""
    with open_store(str(lamina.root)) as store:
        table = RecordTable(store)
        found = [table.get(row.ref) for row in table.rows()]
        yield store, [record for record in found if record is not None]


def step_named(steps: tuple[Step, ...], text: str) -> Step:
    [found] = [step for step in steps if text in step.name]
    return found


def read_files(store: Store, step: Step) -> dict[str, int]:
    """The regular files in a step's key, with their sizes."""
    assert step.lookup is not None
    table = ContentTable(store.database)
    return {
        entry.name: entry.size
        for part in step.lookup.parts
        if part.by_content
        for entry in table.entries(part.content)
        if entry.kind == "-"
    }


def test_a_record_has_request_steps_and_usage(lamina: Lamina, context: Callable[..., Path]) -> None:
    folder = context(_DOCKERFILE, {"src/a": "one", "src/sub/b": "two"})
    secret = "--secret=id=s,env=HUSH"
    for _ in range(2):
        done = lamina(
            "build",
            "-t",
            "it",
            "--build-arg=V=1",
            secret,
            str(folder),
            env={"HUSH": "the-secret"},
        )
        assert done.code == 0, done.err
    with records(lamina) as (store, [second, first]):
        assert dict(first.frontend_attrs)["build-arg:V"] == "1"
        assert (first.context_path, first.dockerfile_path) == (
            str(folder),
            str(folder / "Dockerfile"),
        )
        assert first.exporters[0].type == "image"
        assert first.result is not None and len(first.result.results) == 1
        ran = step_named(read_steps(store.blobs, first), "cat /in/a")
        cached = step_named(read_steps(store.blobs, second), "cat /in/a")
        assert (ran.ran, cached.ran, cached.cached) == (True, False, True)
        assert ran.lookup is not None and cached.lookup is not None
        assert (ran.lookup.hit, cached.lookup.hit) == (False, True)
        assert ran.lookup.key == cached.lookup.key
        assert ran.lookup.parts == cached.lookup.parts
        assert ran.op is not None and ran.op.exec is not None
        assert ran.lines is not None and ran.lines.filename == "Dockerfile"
        assert read_files(store, ran) == {"src/a": 3, "src/sub/b": 3}
        copy = step_named(read_steps(store.blobs, first), "COPY src /src")
        assert read_files(store, copy) == {"src/a": 3, "src/sub/b": 3}
        logs = b"".join(log.msg for message in read_log(store.blobs, first) for log in message.logs)
        assert logs == b"oneoutput\n"
        with open(store.path("meta.db"), "rb") as database:
            assert b"the-secret" not in database.read()


def test_a_failed_step(lamina: Lamina, context: Callable[..., Path]) -> None:
    folder = context("FROM base\nRUN echo evidence; exit 3\n")
    assert lamina("build", str(folder)).code == 1
    with records(lamina) as (store, [record]):
        assert record.error is not None and "exit code: 3" in record.error.message
        failed = step_named(read_steps(store.blobs, record), "exit 3")
        assert "exit code: 3" in failed.error


def test_killed_at_any_time(lamina: Lamina, context: Callable[..., Path]) -> None:
    folder = context("FROM base\nRUN echo begun; sleep 60\n")
    process = subprocess.Popen(
        lamina.command("build", "--progress=plain", str(folder)),
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    with process.stderr:
        for line in process.stderr:
            if "begun" in line and "RUN" not in line:
                break
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert lamina("prune", "-f").code == 0  # completes the record, before blobs are removed
    with records(lamina) as (store, [record]):
        assert record.error is not None and "killed" in record.error.message
        steps = read_steps(store.blobs, record)
        step = step_named(steps, "sleep 60")
        assert (step.ran, step.completed) == (True, None)
        logs = [log.msg for message in read_log(store.blobs, record) for log in message.logs]
        assert b"".join(logs) == b"begun\n"


def test_a_daemon_shares_the_records_of_its_store(
    tmp_path: Path, lamina: Lamina, context: Callable[..., Path]
) -> None:
    folder = context("FROM base\nRUN echo one\n")
    assert lamina("build", str(folder)).code == 0
    with DaemonProcess(lamina.root) as daemon:
        remote = RemoteLamina(tmp_path, daemon.address)
        done = remote("build", str(folder))
        assert done.code == 0, done.err
        with records(lamina) as (store, [second, first]):
            one, other = (
                step_named(read_steps(store.blobs, record), "echo one")
                for record in (second, first)
            )
            assert one.cached and not other.cached
            assert one.lookup is not None and other.lookup is not None
            digests = [[part.digest for part in s.lookup.parts] for s in (one, other) if s.lookup]
        assert digests[0] == digests[1]


def test_a_running_build_has_a_record(lamina: Lamina, context: Callable[..., Path]) -> None:
    folder = context("FROM base\nRUN sleep 60\n")
    process = subprocess.Popen(
        lamina.command("build", "--progress=plain", str(folder)), stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 30
        rows: list[str] = []
        while not rows and time.monotonic() < deadline:
            if os.path.exists(lamina.root / "meta.db"):
                with open_store(str(lamina.root)) as store:
                    rows = [row.status for row in RecordTable(store).rows()]
            time.sleep(0.05)
        assert rows == [RUNNING]
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()
    with records(lamina) as (_, [record]):
        assert record.error is not None and "canceled" in record.error.message


def test_credentials_in_addresses_are_not_recorded(
    lamina: Lamina, context: Callable[..., Path]
) -> None:
    address = "http://me:hush-hush@127.0.0.1:1/x"
    folder = context(f"FROM base\nRUN echo one {address}\nRUN echo two\nADD {address} /\n")
    assert lamina("build", str(folder)).code == 1
    with records(lamina) as (store, [record]):
        steps = read_steps(store.blobs, record)
        command = step_named(steps, "echo one")
        assert command.op is not None and command.op.exec is not None
        assert command.op.exec.meta is not None
        assert "http://xxxxx:xxxxx@127.0.0.1:1/x" in " ".join(command.op.exec.meta.args)
        assert command.lines is not None and command.lines.first == 5
        assert all(step.op for step in steps if "] ADD" in step.name)
        assert step_named(steps, "echo two").op is not None
        definition = [m.definitions for m in read_log(store.blobs, record) if m.definitions]
        assert len(definition) == 1
    for path in lamina.root.rglob("*"):
        if path.is_file() and path.stat().st_size < 1 << 20:
            assert b"hush-hush" not in path.read_bytes(), path

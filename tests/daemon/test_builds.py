"""Builds of a daemon when it shuts down, is killed, or gets requests about them."""

from __future__ import annotations

import glob
import json
import os
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest

from lamina.api import control, history
from lamina.api.errors import (
    Exit,
    Frontend,
    FrontendCap,
    ProvenanceMaterialsIncomplete,
    Solve,
    Source,
    Stack,
    Subrequest,
    Vertex,
    typed_errors,
)
from lamina.api.message import receive, unary
from lamina.records.recovery import KILLED
from lamina.wire.contract import Code, StatusError
from lamina.wire.protobuf import encode
from tests.daemon.daemon_client import SolvingThread, output, progress, solve
from tests.daemon_process import DaemonProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from lamina.api.errors import TypedError
    from lamina.wire.client import GrpcChannel
    from tests.commands import Lamina

LONG = "FROM base\nRUN echo begun; sleep 2; echo over\n"
ENDLESS = "FROM base\nRUN echo begun; sleep 1000\n"


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[DaemonProcess]:
    with DaemonProcess(tmp_path / "store") as daemon:
        yield daemon


def records(channel: GrpcChannel, **wish: Any) -> list[history.BuildHistoryRecord]:
    request = history.BuildHistoryRequest(early_exit=True, **wish)
    found = []
    with channel.open(history.LISTEN_BUILD_HISTORY) as call:
        call.send(encode(request, history.SCHEMA))
        call.finish_sending()
        while (event := receive(call, history.BuildHistoryEvent, history.SCHEMA)) is not None:
            assert event.record is not None
            found.append(event.record)
    return found


def no_sleeper_is_left() -> bool:
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        try:
            with open(path, "rb") as file:
                if file.read() == b"sleep\x001000\x00":
                    return False
        except OSError:
            continue
    return True


def nothing_is_left(root: Path) -> bool:
    """Check that no partial files are left; `ingest` stays, as more blobs will arrive."""
    left = [name for _, _, files in os.walk(root / "tmp") for name in files]
    return left == [] and set(os.listdir(root / "tmp")) <= {"ingest"}


def test_a_build_and_its_record(daemon: DaemonProcess, context: Callable[..., Path]) -> None:
    folder = context("FROM base\nRUN echo hello\n")
    with daemon.dial() as channel:
        solve(channel, folder, "first")
        solve(channel, folder, "second")
        assert b"hello" in output(progress(channel, "first"))
        assert output(progress(channel, "second")) == b""
        second, first = records(channel)
        assert (first.ref, second.ref) == ("first", "second")
        assert first.frontend == "dockerfile.v0"
        assert first.error is None
        assert second.num_cached_steps == 3
        assert first.num_completed_steps == first.num_total_steps


def test_a_failure_shows_the_line_to_the_client_and_in_the_history(
    daemon: DaemonProcess, context: Callable[..., Path]
) -> None:
    with daemon.dial() as channel:
        with pytest.raises(StatusError) as failed:
            solve(channel, context("FROM base\nRUN exit 7\n"), "bad")
        assert failed.value.code is Code.UNKNOWN
        assert "exit code: 7" in failed.value.message
        details = typed_errors(failed.value)
        assert Exit(7) in details
        (source,) = [item for item in details if isinstance(item, Source)]
        assert source.info is not None
        steps = [step for step in progress(channel, "bad").vertexes if "RUN exit 7" in step.name]
        (failed_op,) = [json.loads(d.value) for d in failed.value.details if "Solve" in d.type_url]
        assert failed_op["op"]["exec"]["meta"]["args"][-1] == "exit 7"
        assert {Vertex(step.digest) for step in steps} <= set(details)
        (stack,) = [item for item in details if isinstance(item, Stack)]
        assert stack.pid == daemon.process.pid
        start = source.ranges[0].start
        assert start is not None
        assert b"RUN exit 7" in source.info.data.splitlines()[start.line - 1]
        (record,) = records(channel, filter=("status==error",))
        assert record.error is not None
        assert "exit code: 7" in record.error.message
        assert record.external_error is not None
    assert "/Solve returned error" in daemon.read_log()


def test_which_input_of_a_step_could_not_be_read(
    daemon: DaemonProcess, context: Callable[..., Path]
) -> None:
    with daemon.dial() as channel, pytest.raises(StatusError) as failed:
        solve(channel, context("FROM base\nCOPY absent /\n"), "bad")
    (solve_error,) = [d for d in typed_errors(failed.value) if isinstance(d, Solve)]
    assert solve_error.content_cache == 1  # the context; the base of the copy comes first


@pytest.mark.parametrize(
    ("attributes", "code", "detail"),
    [
        ({"requestid": "frontend.what"}, Code.UNKNOWN, Subrequest("frontend.what")),
        ({"frontend.caps": "a.b+forward"}, Code.UNIMPLEMENTED, FrontendCap("a.b")),
        (
            {"attest:provenance": "complete-materials=true"},
            Code.UNKNOWN,
            ProvenanceMaterialsIncomplete(
                (("context", "local_source"), ("dockerfile", "local_source"))
            ),
        ),
    ],
)
def test_invalid_requests_name_their_fault(
    daemon: DaemonProcess,
    context: Callable[..., Path],
    attributes: dict[str, str],
    code: Code,
    detail: TypedError,
) -> None:
    with daemon.dial() as channel, pytest.raises(StatusError) as failed:
        solve(channel, context("FROM base\n"), "bad", **attributes)
    assert failed.value.code is code
    details = typed_errors(failed.value)
    assert detail in details
    stopped_early = not isinstance(detail, ProvenanceMaterialsIncomplete)
    assert (Frontend("dockerfile.v0") in details) == stopped_early


def test_running_builds_finish_when_the_daemon_ends(
    daemon: DaemonProcess, context: Callable[..., Path]
) -> None:
    build = SolvingThread(daemon.dial(), context(LONG), "one")
    build.wait_for_output("one", b"begun")
    daemon.process.send_signal(signal.SIGTERM)
    daemon.wait_for("STOPPING=1")
    build.join()
    assert build.error is None
    assert daemon.process.wait(30) == 0
    with DaemonProcess(daemon.root) as again, again.dial() as channel:
        assert output(progress(channel, "one")) == b"begun\nover\n"
        assert [record.ref for record in records(channel)] == ["one"]


@pytest.mark.parametrize("twice", [True, False])
def test_builds_that_do_not_finish_are_cancelled_and_cleaned_up(
    tmp_path: Path, context: Callable[..., Path], twice: bool
) -> None:
    drain = "10m" if twice else "0.3s"
    with DaemonProcess(tmp_path / "store", f"--drain-timeout={drain}") as daemon:
        build = SolvingThread(daemon.dial(), context(ENDLESS), "one")
        build.wait_for_output("one", b"begun")
        daemon.process.send_signal(signal.SIGTERM)
        daemon.wait_for("STOPPING=1")
        if twice:
            daemon.process.send_signal(signal.SIGTERM)
        assert daemon.process.wait(30) == 0
        build.join()
    assert isinstance(build.error, StatusError)
    assert no_sleeper_is_left()
    assert nothing_is_left(daemon.root)
    assert glob.glob(f"/sys/fs/cgroup/**/*-{daemon.process.pid}-*", recursive=True) == []


def test_a_build_is_cancelled_if_its_client_disconnects(
    daemon: DaemonProcess, context: Callable[..., Path]
) -> None:
    build = SolvingThread(daemon.dial(), context(ENDLESS), "one")
    build.wait_for_output("one", b"begun")
    build.channel.close()
    build.join()
    with daemon.dial() as channel:
        deadline = time.monotonic() + 20
        while not (done := records(channel, filter=("status==canceled",))):
            assert time.monotonic() < deadline
            time.sleep(0.05)
    assert [record.ref for record in done] == ["one"]
    while not no_sleeper_is_left():  # it was killed, which may take a moment
        assert time.monotonic() < deadline
        time.sleep(0.05)


LISTENING = "FROM base\nRUN trap '{}' TERM; echo begun; while :; do sleep 0.02; done\n"


def test_a_step_gets_sigterm_if_its_client_disconnects(
    daemon: DaemonProcess, context: Callable[..., Path]
) -> None:
    build = SolvingThread(daemon.dial(), context(LISTENING.format("echo bye; exit 0")), "one")
    build.wait_for_output("one", b"begun")
    build.channel.close()
    build.join()
    with daemon.dial() as channel:
        deadline = time.monotonic() + 20
        while not records(channel, filter=("status==canceled",)):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert output(progress(channel, "one")) == b"begun\nbye\n"


@pytest.mark.parametrize("leaves", [True, False])
def test_a_step_that_ignores_sigterm_does_not_delay_the_shutdown(
    tmp_path: Path, context: Callable[..., Path], leaves: bool
) -> None:
    """The client has disconnected before, or the daemon cancels the build."""
    with DaemonProcess(tmp_path / "store", "--drain-timeout=1s", "--stop-timeout=10m") as daemon:
        build = SolvingThread(daemon.dial(), context(LISTENING.format("echo no")), "one")
        build.wait_for_output("one", b"begun")
        if leaves:
            build.channel.close()
            time.sleep(0.5)  # the step has received SIGTERM
        daemon.process.send_signal(signal.SIGTERM)
        assert daemon.process.wait(60) == 0
        build.join()


def test_killed_in_the_middle_the_store_opens_again(
    daemon: DaemonProcess, context: Callable[..., Path]
) -> None:
    folder = context("FROM base\nRUN echo kept\nRUN echo begun; sleep 1000\n")
    build = SolvingThread(daemon.dial(), folder, "one")
    build.wait_for_output("one", b"begun")
    daemon.kill()
    build.join()
    with DaemonProcess(daemon.root) as again, again.dial() as channel:
        solve(channel, context("FROM base\nRUN echo kept\n"), "two")
        assert output(progress(channel, "two")) == b""
        two, one = records(channel)
        assert (two.ref, one.ref) == ("two", "one")
        assert two.error is None
        assert one.error is not None and one.error.message == KILLED
        assert b"begun" in output(progress(channel, "one"))
        assert again.stop() == 0
    assert no_sleeper_is_left()
    assert nothing_is_left(daemon.root)


def test_pruning_while_the_daemon_builds(
    daemon: DaemonProcess, context: Callable[..., Path]
) -> None:
    with daemon.dial() as channel:
        solve(channel, context("FROM base\nRUN echo old\n"), "old")
        folder = context("FROM base\nRUN echo 1 > /a\nRUN echo begun; sleep 2; cat /a\n")
        build = SolvingThread(daemon.dial(), folder, "new")
        build.wait_for_output("new", b"begun")
        with channel.open(control.PRUNE) as call:
            call.send(encode(control.PruneRequest(all=True), control.SCHEMA))
            call.finish_sending()
            gone = []
            while (record := receive(call, control.UsageRecord, control.SCHEMA)) is not None:
                gone.append(record)
        assert any("echo old" in record.description for record in gone)
        usage = unary(
            channel,
            control.DISK_USAGE,
            control.DiskUsageRequest(("inuse",)),
            control.DiskUsageResponse,
            control.SCHEMA,
        )
        assert any("echo 1" in record.description for record in usage.record)
        build.join()
        assert build.error is None
        assert output(progress(channel, "new")) == b"begun\n1\n"


def test_copies_of_folders_are_kept_and_pruned(
    daemon: DaemonProcess, context: Callable[..., Path]
) -> None:
    only = control.DiskUsageRequest(("type==source.local",))
    with daemon.dial() as channel:

        def copies() -> tuple[control.UsageRecord, ...]:
            return unary(
                channel, control.DISK_USAGE, only, control.DiskUsageResponse, control.SCHEMA
            ).record

        solve(channel, context("FROM base\n"))
        assert any("context" in record.description for record in copies())
        with channel.open(control.PRUNE) as call:
            call.send(encode(control.PruneRequest(only.filter, True), control.SCHEMA))
            call.finish_sending()
            while call.receive() is not None:
                continue
        assert copies() == ()
        solve(channel, context("FROM base\n"))


def test_settings_reach_the_steps(tmp_path: Path, context: Callable[..., Path]) -> None:
    config = tmp_path / "c.toml"
    config.write_text("[dns]\nnameservers = ['9.9.9.9']\n[worker.oci]\nmax-parallelism = 1\n")
    with (
        DaemonProcess(tmp_path / "store", f"--config={config}") as daemon,
        daemon.dial() as channel,
    ):
        solve(channel, context("FROM base\nRUN cat /etc/resolv.conf\n"), "one")
        assert b"nameserver 9.9.9.9" in output(progress(channel, "one"))


def test_clients_that_do_not_read_do_not_block_builds(
    daemon: DaemonProcess, context: Callable[..., Path]
) -> None:
    folder = context(
        "FROM base\nRUN i=0; while [ $i -lt 3000 ]; do echo line $i of many; i=$((i+1)); done\n"
    )
    with daemon.dial() as idle, daemon.dial() as channel:
        call = idle.open(control.STATUS)
        call.send(encode(control.StatusRequest("one"), control.SCHEMA))
        call.finish_sending()
        solve(channel, folder, "one")
        text = output(progress(channel, "one"))
        assert text.count(b"\n") == 3000
        call.cancel()


def test_commands_and_the_daemon_share_one_store(
    daemon: DaemonProcess, lamina: Lamina, context: Callable[..., Path]
) -> None:
    folder = context("FROM base\nRUN echo once\n")
    lamina.build(folder)
    with daemon.dial() as channel:
        solve(channel, folder, "one")
        assert output(progress(channel, "one")) == b""


def test_steps_run_below_the_requested_cgroup_parent(
    daemon: DaemonProcess, context: Callable[..., Path]
) -> None:
    parent = f"lamina-test-{os.urandom(4).hex()}"
    folder = context("FROM base\nRUN echo begun; sleep 1000\n")
    build = SolvingThread(daemon.dial(), folder, "one", **{"cgroup-parent": f"{parent}/below"})
    build.wait_for_output("one", b"begun")
    groups = glob.glob(f"/sys/fs/cgroup/**/{parent}/below/*/run", recursive=True)
    members = []
    for group in groups:
        with open(f"{group}/cgroup.procs") as file:
            members += file.read().split()
    assert members
    build.channel.close()
    build.join()
    assert daemon.stop() == 0
    assert glob.glob(f"/sys/fs/cgroup/**/{parent}", recursive=True) == []

"""The daemon as another process, called through lamina's client."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from lamina.api import content, control, health, history
from lamina.api.message import receive, unary
from lamina.base.errors import LaminaError
from lamina.daemon.config import LogConfig
from lamina.daemon.history import History
from lamina.daemon.log import Log
from lamina.records.retention import Retention
from lamina.stores.store import open_store
from lamina.wire.address import dial
from lamina.wire.contract import Code, StatusError
from lamina.wire.protobuf import encode
from lamina.wire.tls import client_context
from tests.daemon_process import DaemonProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from lamina.wire.client import GrpcChannel
    from tests.commands import Lamina

M = TypeVar("M")


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[DaemonProcess]:
    with DaemonProcess(tmp_path / "store") as daemon:
        yield daemon


def stream(
    channel: GrpcChannel, method: str, request: Any, response: type[M], schema: Any
) -> list[M]:
    found = []
    with channel.open(method) as call:
        call.send(encode(request, schema))
        call.finish_sending()
        while (message := receive(call, response, schema)) is not None:
            found.append(message)
    return found


def ask(channel: GrpcChannel, method: str, request: Any, response: type[M]) -> M:
    return unary(channel, method, request, response, control.SCHEMA | history.SCHEMA)


def workers(channel: GrpcChannel, *filters: str) -> tuple[Any, ...]:
    request = control.ListWorkersRequest(filters)
    return ask(channel, control.LIST_WORKERS, request, control.ListWorkersResponse).record


def test_info_and_workers(tmp_path: Path) -> None:
    arguments = ["--oci-worker-labels=team=a b", "--oci-worker-gc=false", "--debug"]
    with DaemonProcess(tmp_path / "store", *arguments) as daemon, daemon.dial() as channel:
        assert f'msg="running server on {daemon.address}"' in daemon.log
        version = ask(channel, control.INFO, control.InfoRequest(), control.InfoResponse)
        assert version.buildkit_version is not None
        assert version.buildkit_version.package == "github.com/moby/buildkit"
        assert version.buildkit_version.version.startswith("v0.")
        (worker,) = workers(channel)
        assert worker.gc_policy == ()
        assert worker.platforms
        labels = dict(worker.labels)
        assert labels["team"] == "a b"
        assert labels["org.mobyproject.buildkit.worker.executor"] == "oci"
        assert workers(channel, f"id~=^{worker.id[:8]}") == (worker,)
        assert workers(channel, 'labels."org.mobyproject.buildkit.worker.executor"==x') == ()
        assert daemon.stop() == 0
    with DaemonProcess(tmp_path / "store") as again, again.dial() as channel:
        assert workers(channel)[0].id == worker.id
        assert len(workers(channel)[0].gc_policy) == 4


def test_usage_and_pruning(
    daemon: DaemonProcess, lamina: Lamina, context: Callable[..., Path]
) -> None:
    lamina.build(context("FROM base\nRUN --mount=type=cache,target=/c echo 1 > /c/a\n"))
    request = control.DiskUsageRequest()
    with daemon.dial() as channel:
        everything = ask(channel, control.DISK_USAGE, request, control.DiskUsageResponse).record
        types = {record.record_type for record in everything}
        assert types == {"regular", "exec.cachemount", "image"}
        mounts = control.DiskUsageRequest(("type==exec.cachemount",))
        (mount,) = ask(channel, control.DISK_USAGE, mounts, control.DiskUsageResponse).record
        assert mount.mutable
        assert mount.description.startswith("cached mount ")
        assert not mount.in_use
        assert mount.size > 0

        def prune(*filters: str, **limits: Any) -> list[control.UsageRecord]:
            wish = control.PruneRequest(filters, **limits)
            return stream(channel, control.PRUNE, wish, control.UsageRecord, control.SCHEMA)

        assert prune(keep_duration=3_600_000_000_000) == []
        assert [record.id for record in prune(f"id~=^{mount.id[:6]}")] == [mount.id]
        with pytest.raises(StatusError) as refused:
            prune("type=x")
        assert refused.value.code is Code.INVALID_ARGUMENT
        assert len(prune(all=True)) == len(everything) - 1
        assert not ask(channel, control.DISK_USAGE, request, control.DiskUsageResponse).record


def test_commands_build_on_the_same_store_meanwhile(
    daemon: DaemonProcess, lamina: Lamina, context: Callable[..., Path]
) -> None:
    folder = context("FROM base\nRUN echo 1\n")
    lamina.build(folder)
    assert "CACHED" in lamina.build(folder)


def test_two_daemons_on_one_store_are_refused(daemon: DaemonProcess, lamina: Lamina) -> None:
    other = lamina("daemon", f"--addr={daemon.address}2")
    assert other.code == 1
    assert "another daemon runs on this store" in other.err
    elsewhere = lamina("daemon", f"--root={daemon.root}2", f"--addr={daemon.address}")
    assert elsewhere.code == 1
    assert "another daemon serves" in elsewhere.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--addr=/x"], "did you mean unix:///x"),
        (["--addr=npipe:////x"], "invalid address"),
        (["--config=/no/such"], "does not exist"),
        (["--tlscert=/no/such", "--tlskey=/no/such", "--addr=tcp://127.0.0.1:0"], "certificate"),
        (["--oci-worker-platform=x/y/z/a"], "platform"),
    ],
)
def test_invalid_configurations_are_refused_at_start(
    lamina: Lamina, arguments: list[str], message: str
) -> None:
    done = lamina("daemon", *arguments, env={"LAMINA_CONFIG": "/dev/null"})
    assert done.code == 1
    assert message in done.err


def test_a_stopped_daemon_leaves_no_files(daemon: DaemonProcess) -> None:
    with daemon.dial() as channel:
        workers(channel)
        assert daemon.stop() == 0
    assert "stopping server" in daemon.log
    assert not os.path.exists(daemon.address.removeprefix("unix://"))
    assert os.listdir(daemon.root / "tmp") == []
    with open("/proc/mounts") as mounts:
        assert str(daemon.root) not in mounts.read()


def test_watchers_are_notified_of_the_shutdown(daemon: DaemonProcess) -> None:
    with daemon.dial() as channel:
        assert ask_health(channel, "") is health.ServingStatus.SERVING
        assert ask_health(channel, control.SERVICE) is health.ServingStatus.SERVING
        with pytest.raises(StatusError) as unknown:
            ask_health(channel, "x")
        assert unknown.value.code is Code.NOT_FOUND
        with channel.open(health.WATCH) as watch, channel.open(LISTEN) as events:
            watch.send(encode(health.HealthCheckRequest(), health.SCHEMA))
            events.send(encode(history.BuildHistoryRequest(), history.SCHEMA))
            events.header()
            first = receive(watch, health.HealthCheckResponse, health.SCHEMA)
            assert first == (health.ServingStatus.SERVING,)
            daemon.process.send_signal(signal.SIGTERM)
            second = receive(watch, health.HealthCheckResponse, health.SCHEMA)
            assert second == (health.ServingStatus.NOT_SERVING,)
            assert events.receive() is None
        daemon.wait_for("STOPPING=1")
    assert daemon.process.wait(20) == 0


def ask_health(channel: GrpcChannel, service: str) -> health.ServingStatus:
    request = health.HealthCheckRequest(service)
    answer = unary(channel, health.CHECK, request, health.HealthCheckResponse, health.SCHEMA)
    return answer.status


LISTEN = history.LISTEN_BUILD_HISTORY


def test_a_second_signal_does_not_wait(tmp_path: Path) -> None:
    with DaemonProcess(tmp_path / "store", "--drain-timeout=10m") as daemon:
        with daemon.dial() as channel, channel.open(control.STATUS) as call:
            # A call that never ends: its request is not sent.
            call.send(b"")
            daemon.process.send_signal(signal.SIGTERM)
            daemon.wait_for("STOPPING=1")
            daemon.process.send_signal(signal.SIGINT)
            assert daemon.process.wait(30) == 0
        assert "cancelling running builds" in daemon.read_log()


def test_the_time_to_drain_is_bounded(tmp_path: Path) -> None:
    with (
        DaemonProcess(tmp_path / "store", "--drain-timeout=0.2s") as daemon,
        daemon.dial() as channel,
        channel.open(control.LIST_WORKERS),
    ):
        daemon.process.send_signal(signal.SIGTERM)
        assert daemon.process.wait(30) == 0


def test_killed_it_starts_again(daemon: DaemonProcess) -> None:
    daemon.kill()
    with DaemonProcess(daemon.root) as again:
        with again.dial() as channel:
            assert workers(channel)
        assert again.stop() == 0
    assert os.listdir(daemon.root / "tmp") == []


def test_the_configuration_file(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text("nonsense = 1\n[log]\nformat = 'json'\n[worker.oci.labels]\na = 'b'\n")
    with DaemonProcess(tmp_path / "store", f"--config={path}") as daemon:
        assert '"msg": "' in daemon.log
        assert "unknown key nonsense is ignored" in daemon.log
        with daemon.dial() as channel:
            assert ("a", "b") in workers(channel)[0].labels


def test_the_group_of_the_socket(tmp_path: Path) -> None:
    with DaemonProcess(tmp_path / "store", "--group=12345") as daemon:
        status = os.stat(daemon.address.removeprefix("unix://"))
        assert (status.st_gid, stat.S_IMODE(status.st_mode)) == (12345, 0o660)


def test_a_socket_from_systemd(tmp_path: Path) -> None:
    path = str(tmp_path / "passed.sock")
    with socket.socket(socket.AF_UNIX) as passed:
        passed.bind(path)
        passed.listen()
        # As systemd does it: the socket as descriptor 3, and the process's ID.
        script = (
            "import os, sys; os.dup2(int(sys.argv[1]), 3); os.environ['LISTEN_PID'] ="
            " str(os.getpid()); os.execv(sys.executable, [sys.executable, '-m', 'lamina',"
            " 'daemon', '--root', sys.argv[2], '--addr', 'fd://'])"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", script, str(passed.fileno()), str(tmp_path / "store")],
            pass_fds=[passed.fileno()],
            env={**os.environ, "LISTEN_FDS": "1", "LAMINA_CONFIG": os.devnull},
            stderr=subprocess.DEVNULL,
        )
        try:
            with dial(f"unix://{path}") as channel:
                assert workers(channel)
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
        finally:
            process.kill()
            process.wait()
    assert os.path.exists(path)


def test_history_over_the_wire(tmp_path: Path) -> None:
    with open_store(str(tmp_path / "store")) as store:
        kept = History(store, Retention(), Log(LogConfig(level="panic")), lambda: None)
        for name in ("one", "two"):
            kept.begin(history.BuildHistoryRecord(name)).finish()
    with DaemonProcess(tmp_path / "store") as daemon, daemon.dial() as channel:

        def listed(**wish: Any) -> list[tuple[int, str]]:
            request = history.BuildHistoryRequest(early_exit=True, **wish)
            events = stream(channel, LISTEN, request, history.BuildHistoryEvent, history.SCHEMA)
            return [(event.type, event.record.ref) for event in events if event.record]

        assert listed() == [(1, "two"), (1, "one")]
        assert listed(limit=1) == [(1, "two")]
        assert listed(ref="one") == [(1, "one")]
        assert listed(active_only=True) == []
        assert listed(filter=("ref==one", "ref==x")) == [(1, "one")]
        for bad in ({"limit": -1}, {"filter": ("a=b",)}):
            with pytest.raises(StatusError) as refused:
                listed(**bad)
            assert refused.value.code is Code.INVALID_ARGUMENT
        update = history.UpdateBuildHistoryRequest
        answer = history.UpdateBuildHistoryResponse
        ask(channel, history.UPDATE_BUILD_HISTORY, update("one", pinned=True), answer)
        ask(channel, history.UPDATE_BUILD_HISTORY, update("two", finalize=True), answer)
        ask(channel, history.UPDATE_BUILD_HISTORY, update("two", delete=True), answer)
        with pytest.raises(StatusError) as missing:
            ask(channel, history.UPDATE_BUILD_HISTORY, update("two", pinned=True), answer)
        assert missing.value.code is Code.NOT_FOUND
        (event,) = stream(
            channel,
            LISTEN,
            history.BuildHistoryRequest(early_exit=True),
            history.BuildHistoryEvent,
            history.SCHEMA,
        )
        assert event.record is not None
        assert event.record.pinned
        with channel.open(control.STATUS) as call:
            call.send(encode(control.StatusRequest("one"), control.SCHEMA))
            call.finish_sending()
            assert any(name == "buildkit-current-timestamp" for name, _ in call.header())
            assert call.receive() is None


def test_content(tmp_path: Path) -> None:
    data = os.urandom(3 << 20)
    with open_store(str(tmp_path / "store")) as store:
        digest = store.blobs.put(data)
    with DaemonProcess(tmp_path / "store") as daemon, daemon.dial() as channel:

        def read(offset: int = 0, size: int = 0, name: str = digest) -> bytes:
            request = content.ReadContentRequest(name, offset, size)
            parts = stream(
                channel, content.READ, request, content.ReadContentResponse, content.SCHEMA
            )
            return b"".join(part.data for part in parts)

        def info(name: str) -> content.Info | None:
            request = content.InfoRequest(name)
            return unary(channel, content.INFO, request, content.InfoResponse, content.SCHEMA).info

        found = info(digest)
        assert found is not None
        assert (found.digest, found.size) == (digest, len(data))
        assert read() == data
        assert read(5, 10) == data[5:15]
        assert read(len(data)) == b""
        for call, code in (
            (lambda: read(1, len(data)), Code.OUT_OF_RANGE),
            (lambda: read(-1), Code.OUT_OF_RANGE),
            (lambda: info("sha256:" + "0" * 64), Code.NOT_FOUND),
            (lambda: info("sha256:../../meta.db"), Code.INVALID_ARGUMENT),
            (lambda: read(name="x"), Code.INVALID_ARGUMENT),
        ):
            with pytest.raises(StatusError) as refused:
                call()
            assert refused.value.code is code
        listed = stream(
            channel,
            content.LIST,
            content.ListContentRequest((f"digest=={digest}",)),
            content.ListContentResponse,
            content.SCHEMA,
        )
        assert [item.digest for part in listed for item in part.info] == [digest]
        with pytest.raises(StatusError) as refused:
            unary(
                channel,
                content.DELETE,
                content.DeleteContentRequest(digest),
                content.Empty,
                content.SCHEMA,
            )
        assert refused.value.code is Code.UNIMPLEMENTED


def test_malformed_calls_fail_alone(daemon: DaemonProcess) -> None:
    methods = [control.INFO, control.DISK_USAGE, control.PRUNE, control.LIST_WORKERS]
    methods += [control.STATUS, LISTEN, content.READ, health.CHECK]
    with daemon.dial() as channel:
        for method in methods:
            with channel.open(method) as call, pytest.raises(StatusError) as refused:
                call.send(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x07nonsense")
                call.finish_sending()
                call.receive()
            assert refused.value.code is not Code.INTERNAL, method
            with channel.open(method) as call, pytest.raises(StatusError) as refused:
                call.finish_sending()
                call.receive()
            assert refused.value.code is Code.INVALID_ARGUMENT
        assert workers(channel)
    assert "Traceback" not in daemon.read_log()


def test_concurrent_requests_succeed(daemon: DaemonProcess) -> None:
    failures: list[BaseException] = []

    def ask_a_lot() -> None:
        try:
            with daemon.dial() as channel:
                for _ in range(20):
                    workers(channel)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=ask_a_lot) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`ca`, and `server` and `client`, signed by it; `stranger` is self-signed."""
    folder = tmp_path_factory.mktemp("certificates")

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)

    for name in ("ca", "stranger"):
        openssl(
            *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
            *("-keyout", f"{name}.key", "-out", f"{name}.crt", "-subj", f"/CN={name}"),
        )
    (folder / "san").write_text("subjectAltName=IP:127.0.0.1")
    for name in ("server", "client"):
        openssl(
            *("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
            *("-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}"),
        )
        openssl(
            *("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key"),
            *("-CAcreateserial", "-out", f"{name}.crt", "-extfile", "san"),
        )
    return folder


def test_clients_without_a_valid_certificate_are_refused(
    tmp_path: Path, certificates: Path
) -> None:
    def file(name: str) -> str:
        return str(certificates / name)

    with DaemonProcess(
        tmp_path / "store",
        "--addr=tcp://127.0.0.1:0",
        f"--tlscert={file('server.crt')}",
        f"--tlskey={file('server.key')}",
        f"--tlscacert={file('ca.crt')}",
    ) as daemon:
        assert "TLS is disabled for unix://" in daemon.log
        address = next(
            word.strip('"')
            for word in daemon.log.split()
            if word.startswith("tcp://127.0.0.1:") and not word.startswith("tcp://127.0.0.1:0")
        )
        trusted = client_context(file("ca.crt"), file("client.crt"), file("client.key"))
        with dial(address, trusted) as channel:
            assert workers(channel)
        strangers = [
            None,
            client_context(file("ca.crt")),
            client_context(file("ca.crt"), file("stranger.crt"), file("stranger.key")),
        ]
        for context in strangers:
            with pytest.raises((LaminaError, StatusError)), dial(address, context) as channel:
                workers(channel)
        with dial(address, trusted) as channel:
            assert workers(channel)

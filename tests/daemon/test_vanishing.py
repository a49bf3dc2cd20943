"""Clients that disconnect or repeat themselves in the middle of requests that only they can end."""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest

from lamina.api import content, control, filesync, gateway, history
from lamina.api.message import receive, unary
from lamina.api.status import Status
from lamina.client.contract import SessionProviders
from lamina.client.providers import EmbeddedSession
from lamina.session.opening import new_session_id, open_session
from lamina.session.services import health_service, session_services
from lamina.wire.contract import Code, StatusError
from lamina.wire.protobuf import encode
from tests.daemon_process import DaemonProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from lamina.wire.client import GrpcChannel
    from lamina.wire.contract import ServerCall

LARGE = "FROM scratch\nCOPY large /large\n"
ROUNDS = 12  # one leaked thread each exceeds the threads that pools keep
OUTPUTS = {
    "local": ("local", ()),
    "tar": ("tar", ()),
    "oci": ("oci", (("name", "it"),)),
    "layout": ("oci", (("tar", "false"),)),
}


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[DaemonProcess]:
    with DaemonProcess(tmp_path / "store") as daemon:
        yield daemon


class Taking:
    """A client that reads only the beginning of an output."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.over = threading.Event()

    def handlers(self) -> dict[str, Callable[[ServerCall], None]]:
        return {filesync.SEND_DIFF_COPY: self._take, content.WRITE: self._take}

    def _take(self, call: ServerCall) -> None:
        call.receive()
        self.begun.set()
        with call.cancel.calling(self.over.set):
            self.over.wait(60)


class Asked:
    """A build that is requested in a thread; `error` is the error that stopped it, after `join`."""

    def __init__(self, channel: GrpcChannel, request: control.SolveRequest) -> None:
        self.error: BaseException | None = None
        self._channel = channel
        self._request = request
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            unary(
                self._channel, control.SOLVE, self._request, control.SolveResponse, control.SCHEMA
            )
        except BaseException as error:
            self.error = error

    def join(self) -> None:
        self._thread.join(30)
        assert not self._thread.is_alive()


def soon(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def records(daemon: DaemonProcess) -> dict[str, history.BuildHistoryEvent]:
    """All builds of the history by ref, including running ones."""
    wish = history.BuildHistoryRequest(early_exit=True)
    found = {}
    with daemon.dial() as channel, channel.open(history.LISTEN_BUILD_HISTORY) as call:
        call.send(encode(wish, history.SCHEMA))
        call.finish_sending()
        while event := receive(call, history.BuildHistoryEvent, history.SCHEMA):
            assert event.record is not None
            found[event.record.ref] = event
    return found


def ended(daemon: DaemonProcess, ref: str) -> bool:
    event = records(daemon).get(ref)
    return event is not None and event.record is not None and event.record.completed_at is not None


def wait_for_end(daemon: DaemonProcess, ref: str) -> None:
    """Wait until the build is in the history, and none of its steps runs."""
    soon(lambda: ended(daemon, ref) and left(daemon)[2] == [])


def left(daemon: DaemonProcess) -> tuple[list[str], list[str], list[str]]:
    """Temporary files, mounts, and children, which must be as before."""
    (own,) = [path for path in (daemon.root / "tmp").glob("*-*") if path.is_dir()]
    pid = daemon.process.pid
    children = []
    for task in os.listdir(f"/proc/{pid}/task"):
        with suppress(FileNotFoundError), open(f"/proc/{pid}/task/{task}/children") as file:
            children += file.read().split()
    # Mounts of the host elsewhere appear in the daemon's namespace too.
    with open(f"/proc/{pid}/mounts") as file:
        mounts = [line for line in file if str(daemon.root) in line]
    return sorted(os.listdir(own)), mounts, children


def threads(daemon: DaemonProcess) -> int:
    return len(os.listdir(f"/proc/{daemon.process.pid}/task"))


@contextmanager
def asked_for_output(
    daemon: DaemonProcess, folder: Path, kind: str, ref: str
) -> Iterator[tuple[GrpcChannel, GrpcChannel, Asked]]:
    """A build that is sending its output: the connections of its session and of the build."""
    taking = Taking()
    session = EmbeddedSession(
        {"context": str(folder), "dockerfile": str(folder)}, SessionProviders()
    )
    session_id = new_session_id()
    lending = {**session_services(session), **health_service(), **taking.handlers()}
    name, attributes = OUTPUTS[kind]
    request = control.SolveRequest(
        ref=ref,
        session=session_id,
        frontend="dockerfile.v0",
        exporters=(control.Exporter(name, attributes),),
    )
    with daemon.dial() as lent, daemon.dial() as channel:
        with open_session(lent, lending, session_id):
            build = Asked(channel, request)
            assert taking.begun.wait(30), build.error
            yield lent, channel, build
        build.join()


@pytest.mark.parametrize("kind", list(OUTPUTS))
def test_a_client_that_disconnects_during_an_output(
    daemon: DaemonProcess, context: Callable[..., Path], kind: str
) -> None:
    folder = context(LARGE)
    (folder / "large").write_bytes(os.urandom(20 << 20))
    before = left(daemon)
    counts = []
    for number in range(ROUNDS):
        with asked_for_output(daemon, folder, kind, f"both{number}") as (lent, channel, _):
            lent.close()
            channel.close()
        wait_for_end(daemon, f"both{number}")
        with asked_for_output(daemon, folder, kind, f"one{number}") as (lent, _, build):
            lent.close()
        assert isinstance(build.error, StatusError)
        assert "closed the connection" in build.error.message
        counts.append(threads(daemon))
    soon(lambda: threads(daemon) <= counts[0] + ROUNDS - 3)  # idle ones of pools
    soon(lambda: left(daemon) == before)
    assert daemon.stop() == 0
    assert "Traceback" not in daemon.log


class Client:
    """Calls the gateway of a build."""

    def __init__(self, channel: GrpcChannel, ref: str) -> None:
        self._channel = channel
        self._metadata = (("buildkit-controlapi-buildid", ref),)

    def ask(self, method: str, request: Any, response: type[Any]) -> Any:
        return unary(
            self._channel, method, request, response, gateway.SCHEMA, metadata=self._metadata
        )

    def solve(self, **fields: Any) -> gateway.Result:
        request = gateway.SolveRequest(
            allow_result_return=True, allow_result_array_ref=True, **fields
        )
        answer: gateway.SolveResponse = self.ask(gateway.SOLVE, request, gateway.SolveResponse)
        assert answer.result is not None
        return answer.result

    def give(self, result: gateway.Result | None, error: Status | None = None) -> None:
        request = gateway.ReturnRequest(result, error)
        self.ask(gateway.RETURN, request, gateway.ReturnResponse)


class Fronted:
    """A build whose frontend is the test."""

    def __init__(self, daemon: DaemonProcess, channel: GrpcChannel, session: str, ref: str) -> None:
        self.ref = ref
        self.build = Asked(channel, control.SolveRequest(ref=ref, session=session))
        self.client = Client(channel, ref)
        self._failures: list[StatusError] = []
        self._step = threading.Thread(target=self._evaluate, daemon=True)
        self._daemon = daemon

    def begin_step(self) -> None:
        """Start a step that does not end, in a separate call."""
        self._step.start()
        soon(lambda: left(self._daemon)[2] != [])

    def step_error(self) -> StatusError:
        """The error of that call."""
        self._step.join(30)
        assert not self._step.is_alive()
        (failure,) = self._failures
        return failure

    def _evaluate(self) -> None:
        try:
            self.client.solve(frontend="dockerfile.v0", evaluate=True)
        except StatusError as error:
            self._failures.append(error)


@pytest.fixture
def session(daemon: DaemonProcess, context: Callable[..., Path]) -> Iterator[str]:
    """A session that provides a Dockerfile whose last step never ends."""
    folder = context("FROM base AS made\nRUN echo made > /made\nFROM made\nRUN sleep 1000\n")
    lent = EmbeddedSession({"context": str(folder), "dockerfile": str(folder)}, SessionProviders())
    session_id = new_session_id()
    with (
        daemon.dial() as channel,
        open_session(channel, {**session_services(lent), **health_service()}, session_id),
    ):
        yield session_id


def no_steps(daemon: DaemonProcess) -> bool:
    return left(daemon)[2] == []


@pytest.mark.parametrize("error", [None, Status(2, "no more")])
def test_a_frontend_that_returns_during_its_own_requests(
    daemon: DaemonProcess, session: str, error: Status | None
) -> None:
    counts = []
    for number in range(ROUNDS):
        with daemon.dial() as channel:
            build = Fronted(daemon, channel, session, f"ref{number}")
            build.begin_step()
            build.client.give(None if error else gateway.Result(), error)
            assert "over" in build.step_error().message
            build.build.join()
            assert (build.build.error is None) == (error is None)
            soon(lambda: no_steps(daemon))
            assert ended(daemon, build.ref)
        counts.append(threads(daemon))
    soon(lambda: threads(daemon) <= counts[0] + ROUNDS - 3)  # idle ones of pools
    assert "Traceback" not in daemon.read_log()


def test_a_frontend_that_never_returns(daemon: DaemonProcess, session: str) -> None:
    counts = []
    for number in range(ROUNDS):
        with daemon.dial() as channel:
            build = Fronted(daemon, channel, session, f"ref{number}")
            build.begin_step()
            assert records(daemon)[build.ref].type == history.BuildHistoryEventType.STARTED
        build.build.join()
        wait_for_end(daemon, build.ref)
        counts.append(threads(daemon))
    soon(lambda: threads(daemon) <= counts[0] + ROUNDS - 3)  # idle ones of pools
    assert "Traceback" not in daemon.read_log()


def test_a_frontend_that_returns_twice(daemon: DaemonProcess, session: str) -> None:
    with daemon.dial() as channel:
        build = Fronted(daemon, channel, session, "ref")
        made = build.client.solve(frontend="dockerfile.v0", frontend_opt=(("target", "made"),))
        with ThreadPoolExecutor(4) as pool:
            given = [pool.submit(build.client.give, made) for _ in range(4)]
        failures = [future.exception() for future in given]
        assert failures.count(None) == 1
        for failure in filter(None, failures):
            assert isinstance(failure, StatusError)
            # The build may end before the last of them arrive.
            assert "returned already" in failure.message or "no such job" in failure.message
        build.build.join()
        assert build.build.error is None
        with pytest.raises(StatusError, match="no such job") as late:
            build.client.solve(frontend="dockerfile.v0", evaluate=True)
        assert late.value.code is Code.NOT_FOUND
    assert ended(daemon, "ref")
    assert no_steps(daemon)

"""`lamina explain`, `diff` and `history export|import` of a daemon's builds."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from lamina.api import content, control, history
from lamina.api.progress import SCHEMA as PROGRESS
from lamina.api.progress import StatusResponse
from lamina.system.cancel import wait_any
from lamina.wire.contract import StatusError, send_request
from lamina.wire.listen import Listener
from lamina.wire.protobuf import decode, encode
from tests.commands import RemoteLamina
from tests.daemon_process import DaemonProcess
from tests.e2e.test_diff_builds import changes, compared
from tests.e2e.test_explain import explained

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from lamina.wire.contract import ServerCall
    from tests.commands import Lamina

_TEXT = "FROM base\nCOPY src /src\nRUN cat /src/a\nRUN cat /src/a > /b\n"


@pytest.fixture
def remote(tmp_path: Path) -> Iterator[RemoteLamina]:
    with DaemonProcess(tmp_path / "daemon") as daemon:
        yield RemoteLamina(tmp_path, daemon.address)


def test_a_daemons_builds_are_explained_and_compared(
    remote: RemoteLamina, context: Callable[..., Path]
) -> None:
    remote.build(context(_TEXT, {"src/a": "1", "src/b/c": "x"}))
    folder = context(_TEXT, {"src/a": "22", "src/new": "x"})
    os.chmod(folder / "src/b/c", 0o600)
    remote.build(folder)
    assert explained(remote) == {
        "COPY src /src": "src/a changed, src/new added, mode of src/b/c changed from 0644 to 0600",
        "RUN cat /src/a": "depends on COPY src /src, which changed",
        "RUN cat /src/a > /b": "depends on COPY src /src, which changed",
    }
    diff = compared(remote, "^1", "^")
    assert changes(diff)["COPY src /src"] == "changed"
    assert diff["files"]["count"] == 3
    assert remote("prune", "-af").code == 0
    remote.build(folder)
    assert all(text.startswith("result was pruned on") for text in explained(remote).values())


def test_records_move_between_daemons_and_stores(
    remote: RemoteLamina, lamina: Lamina, context: Callable[..., Path], tmp_path: Path
) -> None:
    remote.build(context(_TEXT, {"src/a": "1"}))
    remote.build(context(_TEXT, {"src/a": "22"}))
    bundle = str(tmp_path / "bundle")
    exported = remote("history", "export", "--all", "-o", bundle)
    assert exported.code == 0, exported.err
    imported = lamina("history", "import", "-f", bundle)
    assert imported.code == 0, imported.err
    assert len(imported.out.split()) == 2
    assert explained(lamina)["COPY src /src"] == "src/a changed"
    again = remote("history", "import", "-f", bundle)
    assert again.code == 1
    assert "is recorded already" in again.err
    assert remote("history", "rm", "--all").code == 0
    assert remote("history", "import", "-f", bundle).out == imported.out
    assert explained(remote)["COPY src /src"] == "src/a changed"
    (tmp_path / "damaged").write_bytes(b"x" * 3_000_000)
    damaged = remote("history", "import", "-f", str(tmp_path / "damaged"))
    assert damaged.code == 1
    assert "not a bundle of build records" in damaged.err


class PlainDaemon:
    """The builds of a daemon as a buildkitd records them: without keys and without lamina's
    service."""

    def __init__(self, daemon: DaemonProcess, address: str) -> None:
        self._upstream = daemon.dial()
        self.address = address
        self._listener = Listener(
            address,
            {
                history.LISTEN_BUILD_HISTORY: self._events,
                control.STATUS: self._statuses,
                content.READ: self._relay,
                control.SESSION: _wait,
            },
        )

    def __enter__(self) -> PlainDaemon:
        return self

    def __exit__(self, *exception: object) -> None:
        self._listener.close()
        self._upstream.close()

    def _relayed(self, call: ServerCall) -> Iterator[bytes]:
        request = call.receive()
        assert request is not None
        try:
            with self._upstream.open(call.method, (), call.cancel) as upstream:
                send_request(upstream, request)
                while (message := upstream.receive()) is not None:
                    yield message
        except StatusError as error:
            raise StatusError(error.code, error.message) from error

    def _relay(self, call: ServerCall) -> None:
        for message in self._relayed(call):
            call.send(message)

    def _events(self, call: ServerCall) -> None:
        for message in self._relayed(call):
            event: history.BuildHistoryEvent = decode(
                message, history.BuildHistoryEvent, history.SCHEMA
            )
            assert event.record is not None
            record = event.record._replace(context_path="", dockerfile_path="")
            call.send(encode(event._replace(record=record), history.SCHEMA))

    def _statuses(self, call: ServerCall) -> None:
        for message in self._relayed(call):
            status: StatusResponse = decode(message, StatusResponse, PROGRESS)
            plain = status._replace(lookups=(), definitions=(), redacted=(), reasons=())
            call.send(encode(plain, PROGRESS))


def _wait(call: ServerCall) -> None:
    wait_any(call.cancel)


def test_a_builder_without_laminas_api(
    tmp_path: Path, lamina: Lamina, context: Callable[..., Path]
) -> None:
    bundle = str(tmp_path / "bundle")
    with DaemonProcess(tmp_path / "daemon") as daemon:
        builder = RemoteLamina(tmp_path, daemon.address)
        builder.build(context(_TEXT, {"src/a": "1"}))
        folder = context(_TEXT.replace("RUN cat /src/a\n", "RUN true\n"), {"src/a": "22"})
        builder.build(folder)
        with PlainDaemon(daemon, f"unix://{tmp_path}/plain.sock") as plain:
            remote = RemoteLamina(tmp_path, plain.address)
            assert explained(remote) == {
                "COPY src /src": "what it reads changed, or its result was removed:"
                " the builder does not record which",
                "RUN true": "instruction changed",
                "RUN cat /src/a > /b": "depends on RUN true, which changed",
            }
            text = remote("explain").out
            assert "The builder recorded no cache keys: only lamina does." in text
            assert changes(compared(remote, "^1", "^")) == {
                "COPY busybox /bin/busybox": "same",
                'RUN ["/bin/busybox", "--install", "-s", "/bin"]': "same",
                "COPY src /src": "same",
                "RUN true": "changed",
                "RUN cat /src/a > /b": "changed",
            }
            exported = remote("history", "export", "-o", bundle)
            assert exported.code == 0, exported.err
            refused = remote("history", "import", "-f", bundle)
            assert refused.code == 1
            assert "it is not a daemon of lamina" in refused.err
            planned = remote("plan", str(folder))
            assert planned.code == 1
            assert "cannot plan a build: it is not a daemon of lamina" in planned.err
    imported = lamina("history", "import", "-f", bundle)
    assert imported.code == 0, imported.err
    row = json.loads(lamina("history", "ls", "--format=json").out)
    assert row["status"] == "Completed"

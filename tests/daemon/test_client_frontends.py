"""Frontends that run in clients, and their calls in provenance."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from lamina.api import control, gateway, history
from lamina.api.message import receive, unary
from lamina.base.digest import parse_digest
from lamina.client.contract import SessionProviders
from lamina.client.providers import EmbeddedSession
from lamina.session.opening import new_session_id, open_session
from lamina.session.services import health_service, session_services
from lamina.wire.protobuf import encode
from tests.daemon_process import DaemonProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from lamina.wire.client import GrpcChannel

TEXT = """
FROM base AS made
ARG A
RUN echo $A > /a

FROM scratch
COPY --from=linked /a /a
"""


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[DaemonProcess]:
    with DaemonProcess(tmp_path / "store") as daemon:
        yield daemon


class Asking:
    """A frontend in this process, for the build `ref`."""

    def __init__(self, channel: GrpcChannel, ref: str) -> None:
        self._channel = channel
        self._metadata = (("buildkit-controlapi-buildid", ref),)

    def solve(self, **fields: Any) -> gateway.Result:
        request = gateway.SolveRequest(
            allow_result_return=True, allow_result_array_ref=True, **fields
        )
        answer = unary(
            self._channel,
            gateway.SOLVE,
            request,
            gateway.SolveResponse,
            gateway.SCHEMA,
            metadata=self._metadata,
        )
        assert answer.result is not None
        return answer.result

    def give(self, result: gateway.Result) -> None:
        request = gateway.ReturnRequest(result)
        unary(
            self._channel,
            gateway.RETURN,
            request,
            gateway.ReturnResponse,
            gateway.SCHEMA,
            metadata=self._metadata,
        )


@contextmanager
def lent(channel: GrpcChannel, folder: Path) -> Iterator[str]:
    """A session that provides a Dockerfile and its directory. Returns its ID."""
    session = EmbeddedSession(
        {"context": str(folder), "dockerfile": str(folder)}, SessionProviders()
    )
    session_id = new_session_id()
    with open_session(channel, {**session_services(session), **health_service()}, session_id):
        yield session_id


@contextmanager
def frontend(channel: GrpcChannel, session: str, ref: str, **attributes: str) -> Iterator[Asking]:
    """A build whose frontend is the block, which must set a result."""
    request = control.SolveRequest(
        ref=ref, session=session, frontend_attrs=tuple(sorted(attributes.items()))
    )
    failures: list[BaseException] = []

    def run() -> None:
        try:
            unary(channel, control.SOLVE, request, control.SolveResponse, control.SCHEMA)
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    yield Asking(channel, ref)
    thread.join(60)
    assert not thread.is_alive()
    assert failures == []


def request_told(channel: GrpcChannel, store: Path, ref: str) -> Any:
    """The request in the provenance of the history."""
    wish = history.BuildHistoryRequest(early_exit=True, ref=ref)
    with channel.open(history.LISTEN_BUILD_HISTORY) as call:
        call.send(encode(wish, history.SCHEMA))
        call.finish_sending()
        event = receive(call, history.BuildHistoryEvent, history.SCHEMA)
    assert event is not None
    assert event.record is not None
    assert event.record.result is not None
    (attestation,) = event.record.result.attestations
    digest = parse_digest(attestation.digest)
    told = json.loads((store / "blobs/sha256" / digest.hex).read_text())
    return told["buildDefinition"]["externalParameters"]["request"]


def test_an_input_is_recorded_with_the_call_that_made_it(
    daemon: DaemonProcess, context: Callable[..., Path], tmp_path: Path
) -> None:
    made_by = (("build-arg:A", "b"), ("target", "made"))
    with daemon.dial() as channel, lent(channel, context(TEXT)) as session:
        with frontend(channel, session, "ask", **{"root-request": "x"}) as asking:
            first = asking.solve(frontend="dockerfile.v0", frontend_opt=made_by)
            assert first.ref is not None
            assert first.ref.definition is not None
            second = asking.solve(
                frontend="gateway.v0",
                frontend_opt=(("context:linked", "input:it"), ("source", "dockerfile.v0")),
                frontend_inputs=(("it", first.ref.definition),),
            )
            asking.give(second)
        request = request_told(channel, tmp_path / "store", "ask")
    made = {"frontend": "dockerfile.v0", "args": dict(made_by)}
    assert request["frontend"] == "dockerfile.v0"
    assert request["args"] == {"context:linked": "input:it"}
    assert request["inputs"] == {"it": {"configSource": {}, "request": made}}
    assert request["root"] == {"configSource": {}, "request": {"args": {"root-request": "x"}}}


def test_calls_are_forgotten_with_their_builds(
    daemon: DaemonProcess, context: Callable[..., Path], tmp_path: Path
) -> None:
    with daemon.dial() as channel, lent(channel, context(TEXT)) as session:
        with frontend(channel, session, "first") as asking:
            first = asking.solve(frontend="dockerfile.v0", frontend_opt=(("target", "made"),))
            asking.give(first)
        assert first.ref is not None
        assert first.ref.definition is not None
        with frontend(channel, session, "second") as asking:
            second = asking.solve(
                frontend="dockerfile.v0",
                frontend_opt=(("context:linked", "input:it"),),
                frontend_inputs=(("it", first.ref.definition),),
            )
            asking.give(second)
        request = request_told(channel, tmp_path / "store", "second")
    assert "inputs" not in request
    assert "root" not in request

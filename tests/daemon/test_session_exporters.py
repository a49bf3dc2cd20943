"""Outputs that a client chooses when it knows the result, and results of several platforms."""

from __future__ import annotations

import io
import tarfile
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from lamina.api import control, exporter, gateway, history
from lamina.api.message import receive, request_of, unary
from lamina.client.contract import SessionProviders
from lamina.client.providers import EmbeddedSession
from lamina.session.opening import new_session_id, open_session
from lamina.session.output_services import FileTarget, take_outputs
from lamina.session.services import health_service, session_services
from lamina.wire.contract import Code, StatusError
from lamina.wire.protobuf import encode
from tests.archives import read_member
from tests.daemon_process import DaemonProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from lamina.wire.client import GrpcChannel
    from lamina.wire.contract import ServerCall

TEXT = "FROM base\nRUN echo made > /made\nLABEL a=b\n"


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[DaemonProcess]:
    with DaemonProcess(tmp_path / "store") as daemon:
        yield daemon


class Choosing:
    """A client that inspects the result and then requests a tar archive of it."""

    def __init__(self, channel: GrpcChannel, ref: str, *, refusal: Code | None = None) -> None:
        self.found: list[str] = []
        self.metadata: dict[str, bytes] = {}
        self.response: dict[str, str] = {}
        self.tar = io.BytesIO()
        self._channel = channel
        self._ref = ref
        self._refusal = refusal

    def handlers(self) -> dict[str, Callable[[ServerCall], None]]:
        return {
            exporter.FIND_EXPORTERS: self._find,
            exporter.FINALIZE_EXPORT: self._finalize,
            **take_outputs({1: FileTarget(self._open)}),
        }

    def _find(self, call: ServerCall) -> None:
        asked = request_of(call, exporter.FindExportersRequest, exporter.SCHEMA)
        self.metadata = dict(asked.metadata)
        for ref in asked.refs:
            listed = unary(
                self._channel,
                gateway.READ_DIR,
                gateway.ReadDirRequest(ref, "/", "m*"),
                gateway.ReadDirResponse,
                gateway.SCHEMA,
                metadata=(("buildkit-controlapi-buildid", self._ref),),
            )
            self.found += [entry.path for entry in listed.entries]
        wanted = exporter.ExporterRequest("tar", ())
        call.send(encode(exporter.FindExportersResponse((wanted,)), exporter.SCHEMA))

    def _finalize(self, call: ServerCall) -> None:
        asked = request_of(call, exporter.FinalizeExportRequest, exporter.SCHEMA)
        self.response = dict(asked.exporter_response)
        if self._refusal is not None:
            raise StatusError(self._refusal, "not so")
        call.send(encode(exporter.FinalizeExportResponse(), exporter.SCHEMA))

    @contextmanager
    def _open(self, _: Mapping[str, str]) -> Iterator[io.BytesIO]:
        yield self.tar


def build(
    channel: GrpcChannel, folder: Path, ref: str, handlers: Mapping[str, Any], **fields: Any
) -> dict[str, str]:
    session = EmbeddedSession(
        {"context": str(folder), "dockerfile": str(folder)}, SessionProviders()
    )
    session_id = new_session_id()
    request = control.SolveRequest(ref=ref, session=session_id, frontend="dockerfile.v0", **fields)
    with open_session(
        channel, {**session_services(session), **health_service(), **handlers}, session_id
    ):
        answer = unary(channel, control.SOLVE, request, control.SolveResponse, control.SCHEMA)
    return dict(answer.exporter_response)


def test_a_client_looks_at_the_result_before_it_chooses(
    daemon: DaemonProcess, context: Callable[..., Path]
) -> None:
    image = control.Exporter("image", (("name", "chosen:1"),))
    with daemon.dial() as channel:
        client = Choosing(channel, "look")
        response = build(
            *(channel, context(TEXT), "look", client.handlers()),
            exporters=(image,),
            enable_session_exporter=True,
        )
    assert client.found == ["made"]
    assert b'"a":"b"' in client.metadata["containerimage.config"]
    with tarfile.open(fileobj=io.BytesIO(client.tar.getvalue())) as archive:
        assert read_member(archive, "made") == b"made\n"
    assert client.response == response
    assert response["containerimage.digest"].startswith("sha256:")


@pytest.mark.parametrize("code", [Code.UNAVAILABLE, Code.UNIMPLEMENTED, Code.UNKNOWN])
def test_a_client_may_object_in_the_end(
    daemon: DaemonProcess, context: Callable[..., Path], code: Code
) -> None:
    with daemon.dial() as channel:
        client = Choosing(channel, "end", refusal=code)
        arguments = (channel, context(TEXT), "end", client.handlers())
        if code is not Code.UNKNOWN:
            build(*arguments, enable_session_exporter=True, exporters=(control.Exporter("image"),))
            return
        with pytest.raises(StatusError, match="not so"):
            build(*arguments, enable_session_exporter=True, exporters=(control.Exporter("image"),))


def test_a_client_without_wishes_is_let_be(
    daemon: DaemonProcess, context: Callable[..., Path]
) -> None:
    with daemon.dial() as channel:
        assert build(channel, context(TEXT), "no", {}, enable_session_exporter=True) == {}


def test_the_history_has_every_image(daemon: DaemonProcess, context: Callable[..., Path]) -> None:
    exporters = (
        control.Exporter("image", (("name", "a:1"),)),
        control.Exporter("image", (("name", "b:1"), ("oci-mediatypes", "false"))),
    )
    wish = history.BuildHistoryRequest(early_exit=True, ref="both")
    with daemon.dial() as channel:
        build(channel, context(TEXT), "both", {}, exporters=exporters)
        with channel.open(history.LISTEN_BUILD_HISTORY) as call:
            call.send(encode(wish, history.SCHEMA))
            call.finish_sending()
            event = receive(call, history.BuildHistoryEvent, history.SCHEMA)
    assert event is not None
    assert event.record is not None
    assert event.record.result is not None
    types = [(number, found and found.media_type) for number, found in event.record.result.results]
    assert types == [
        (0, "application/vnd.oci.image.manifest.v1+json"),
        (1, "application/vnd.docker.distribution.manifest.v2+json"),
    ]
    assert event.record.result.result_deprecated == event.record.result.results[0][1]

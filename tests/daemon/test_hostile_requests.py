"""Meaningless requests: a prompt answer or error, without other effects."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings

from lamina.api import control, history
from lamina.api.session import KEY_ID
from lamina.llb import op
from lamina.system.cancel import Cancellation
from lamina.wire.contract import Code, StatusError
from lamina.wire.protobuf import encode
from tests.daemon.hostile_ops import definition, messages
from tests.daemon_process import DaemonProcess

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lamina.wire.client import GrpcChannel

EXAMPLES = settings(
    max_examples=40,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
FOLDER = op.FileAction(-1, -1, 0, mkdir=op.MkDirAction("/a", 0o755))
GOOD = definition(op.Op(file=op.FileOp((FOLDER,))))


@pytest.fixture(scope="module")
def channel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GrpcChannel]:
    with DaemonProcess(tmp_path_factory.mktemp("daemon") / "store") as daemon:
        with daemon.dial() as channel:
            yield channel
        assert daemon.process.poll() is None
        assert "Traceback" not in daemon.read_log()


@pytest.fixture(autouse=True)
def goes_on(channel: GrpcChannel) -> Iterator[None]:
    yield
    assert answers(channel, control.SOLVE, solving()) == 1


def answers(channel: GrpcChannel, method: str, request: Any) -> int:
    """The number of messages in the answer to a request. Raises StatusError."""
    schema = control.SCHEMA if type(request) in control.SCHEMA else history.SCHEMA
    with channel.open(method) as call:
        call.send(encode(request, schema))
        call.finish_sending()
        count = 0
        while call.receive() is not None:
            count += 1
        return count


def solving(**wish: Any) -> control.SolveRequest:
    return control.SolveRequest(os.urandom(8).hex(), definition=GOOD)._replace(**wish)


def exporting(kind: str, **attrs: str) -> control.SolveRequest:
    return solving(exporters=(control.Exporter(kind, tuple(attrs.items())),))


def cached(**attrs: str) -> control.SolveRequest:
    entry = control.CacheOptionsEntry(attrs.pop("type"), tuple(attrs.items()))
    return solving(cache=control.CacheOptions(exports=(entry,)))


REFUSED: dict[str, tuple[str, Any, str]] = {
    "no ref": (control.SOLVE, solving(ref=""), "ref"),
    "a ref that is no text": (control.SOLVE, solving(ref="\udcff"), "UTF-8"),
    "an output of no kind": (control.SOLVE, exporting("wit"), '"wit"'),
    "an image of no name": (control.SOLVE, exporting("image", name="Not A Name"), "Not A Name"),
    "a push perhaps": (control.SOLVE, exporting("image", name="x", push="maybe"), "maybe"),
    "no compression": (control.SOLVE, exporting("image", compression="zip"), "zip"),
    "a folder of nobody's": (control.SOLVE, exporting("local"), "files"),
    "a cache of no kind": (control.SOLVE, cached(type="wit"), '"wit"'),
    "a cache nowhere": (control.SOLVE, cached(type="registry"), "ref"),
    "an entitlement": (control.SOLVE, solving(entitlements=("wit",)), "wit"),
    "a frontend": (control.SOLVE, solving(definition=None, frontend="wit.v9"), "wit.v9"),
    "both": (control.SOLVE, solving(frontend="dockerfile.v0"), "both"),
    "inputs": (
        control.SOLVE,
        solving(
            definition=None,
            frontend="dockerfile.v0",
            frontend_inputs=(("dockerfile", op.Definition((b"\xff",))),),
        ),
        "malformed",
    ),
    "a filter": (control.PRUNE, control.PruneRequest(("[[",)), "'[['"),
    "a pattern": (control.PRUNE, control.PruneRequest(("id~=[",)), "invalid regex"),
    "records by a filter": (control.DISK_USAGE, control.DiskUsageRequest(("a==",)), "'a=='"),
    "builds by a filter": (
        history.LISTEN_BUILD_HISTORY,
        history.BuildHistoryRequest(early_exit=True, filter=("[[",)),
        "'[['",
    ),
    "builds by a time": (
        history.LISTEN_BUILD_HISTORY,
        history.BuildHistoryRequest(early_exit=True, filter=("startedAt>yesterday",)),
        "yesterday",
    ),
    "fewer than no builds": (
        history.LISTEN_BUILD_HISTORY,
        history.BuildHistoryRequest(early_exit=True, limit=-1),
        "-1",
    ),
    "a build that was never": (
        history.UPDATE_BUILD_HISTORY,
        history.UpdateBuildHistoryRequest("wit", pinned=True),
        "wit",
    ),
}


@pytest.mark.parametrize("case", list(REFUSED))
def test_invalid_requests_are_refused_with_the_reason(channel: GrpcChannel, case: str) -> None:
    method, request, message = REFUSED[case]
    with pytest.raises(StatusError) as refused:
        answers(channel, method, request)
    assert refused.value.code is not Code.INTERNAL
    assert message in refused.value.message


def test_a_session_without_an_id(channel: GrpcChannel) -> None:
    for metadata in ((), ((KEY_ID, ""),)):
        with channel.open(control.SESSION, metadata) as call, pytest.raises(StatusError) as refused:
            call.send(b"")
            call.receive()
        assert refused.value.code is Code.INVALID_ARGUMENT


def test_a_session_that_is_no_http2(channel: GrpcChannel) -> None:
    with channel.open(control.SESSION, ((KEY_ID, "noise"),)) as call:
        for _ in range(3):
            call.send(b"\x0a\x40" + os.urandom(64))
        call.finish_sending()
        with pytest.raises(StatusError):
            while call.receive() is not None:
                pass
            raise StatusError(Code.OK, "it ended")


@EXAMPLES
@given(request=messages(control.SolveRequest, control.SCHEMA))
def test_any_build(channel: GrpcChannel, request: control.SolveRequest) -> None:
    wish = request._replace(ref=os.urandom(8).hex(), session="", source_policy_session="")
    if wish.definition is None and not wish.frontend:
        wish = wish._replace(frontend="wit")  # otherwise it waits for a frontend in the client
    _answered(channel, control.SOLVE, wish)


@EXAMPLES
@given(request=messages(control.PruneRequest, control.SCHEMA))
def test_any_pruning(channel: GrpcChannel, request: control.PruneRequest) -> None:
    _answered(channel, control.PRUNE, request)


@EXAMPLES
@given(request=messages(control.DiskUsageRequest, control.SCHEMA))
def test_any_usage(channel: GrpcChannel, request: control.DiskUsageRequest) -> None:
    _answered(channel, control.DISK_USAGE, request)


@EXAMPLES
@given(request=messages(history.BuildHistoryRequest, history.SCHEMA))
def test_any_listening(channel: GrpcChannel, request: history.BuildHistoryRequest) -> None:
    _answered(channel, history.LISTEN_BUILD_HISTORY, request._replace(early_exit=True))


@EXAMPLES
@given(request=messages(history.UpdateBuildHistoryRequest, history.SCHEMA))
def test_any_update(channel: GrpcChannel, request: history.UpdateBuildHistoryRequest) -> None:
    _answered(channel, history.UPDATE_BUILD_HISTORY, request)


def _answered(channel: GrpcChannel, method: str, request: Any) -> None:
    try:
        answers(channel, method, request)
    except StatusError as error:
        assert error.code not in (Code.INTERNAL, Code.CANCELLED), error
        assert error.message


def test_clients_that_disconnect_during_a_call(channel: GrpcChannel) -> None:
    """Each is forgotten, whatever it was waiting for."""
    for method, request in (
        (control.STATUS, control.StatusRequest("never")),
        (history.LISTEN_BUILD_HISTORY, history.BuildHistoryRequest()),
        (control.SOLVE, control.SolveRequest("open")),
    ):
        cancel = Cancellation()
        timer = threading.Timer(0.2, cancel.cancel)
        timer.start()
        schema = control.SCHEMA if type(request) in control.SCHEMA else history.SCHEMA
        with pytest.raises(StatusError) as left, channel.open(method, cancel=cancel) as call:
            call.send(encode(request, schema))
            call.finish_sending()
            while call.receive() is not None:
                pass
        timer.join()
        assert left.value.code is Code.CANCELLED

"""Source policies of a client, and clients that decide about sources."""

from __future__ import annotations

import io
import tarfile
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from lamina.api import control, policysession
from lamina.api.errors import SourceDecision, typed_errors
from lamina.api.message import request_of, unary
from lamina.api.policysession import CheckPolicyResponse, DecisionResponse, DenyMessage
from lamina.api.sourcemeta import ResolveSourceMetaRequest
from lamina.api.sourcepolicy import Policy, PolicyAction, Rule, Selector, Update
from lamina.client.contract import SessionProviders
from lamina.client.providers import EmbeddedSession
from lamina.llb.op import SourceOp
from lamina.session.opening import new_session_id, open_session
from lamina.session.output_services import FileTarget, take_outputs
from lamina.session.services import health_service, session_services
from lamina.wire.contract import StatusError
from lamina.wire.protobuf import encode
from tests.daemon_process import DaemonProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from lamina.wire.contract import ServerCall

    Answer = Callable[[policysession.CheckPolicyRequest], CheckPolicyResponse]

ALLOW = CheckPolicyResponse(DecisionResponse(PolicyAction.ALLOW))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A Dockerfile, and two directories that may be its context."""
    for name in ("context", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a").write_text(name)
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY a /\n")
    return tmp_path


def build(folder: Path, answer: Answer | None = None, *rules: Rule) -> str:
    """The content of `/a`. Raises StatusError."""
    made = io.BytesIO()

    @contextmanager
    def taken(_: Mapping[str, str]) -> Iterator[io.BytesIO]:
        yield made

    def check(call: ServerCall) -> None:
        asked = request_of(call, policysession.CheckPolicyRequest, policysession.SCHEMA)
        assert answer is not None
        call.send(encode(answer(asked), policysession.SCHEMA))

    folders = {name: str(folder / name) for name in ("context", "other")}
    session = EmbeddedSession({**folders, "dockerfile": str(folder)}, SessionProviders())
    session_id = new_session_id()
    request = control.SolveRequest(
        ref="judged",
        session=session_id,
        frontend="dockerfile.v0",
        exporters=(control.Exporter("tar"),),
        source_policy=Policy(1, rules) if rules else None,
        source_policy_session=session_id if answer is not None else "",
    )
    handlers: dict[str, Any] = {
        **session_services(session),
        **health_service(),
        **take_outputs({0: FileTarget(taken)}),
        policysession.CHECK_POLICY: check,
    }
    with (
        DaemonProcess(folder / "store") as daemon,
        daemon.dial() as channel,
        open_session(channel, handlers, session_id),
    ):
        unary(channel, control.SOLVE, request, control.SolveResponse, control.SCHEMA)
    with tarfile.open(fileobj=io.BytesIO(made.getvalue())) as archive:
        file = archive.extractfile("a")
        assert file is not None
        return file.read().decode()


def test_a_policy_turns_sources_into_others(folder: Path) -> None:
    to_other = Rule(PolicyAction.CONVERT, Selector("local://cont*"), Update("local://other"))
    assert build(folder, None, to_other) == "other"


def test_a_policy_denies_sources(folder: Path) -> None:
    denied = Rule(PolicyAction.DENY, Selector("local://context"))
    with pytest.raises(StatusError) as caught:
        build(folder, None, denied)
    expected = "error evaluating the source policy: source denied by policy: local://context"
    assert expected in caught.value.message


def test_a_policy_turns_images_into_folders(folder: Path) -> None:
    (folder / "Dockerfile").write_text(
        "FROM registry.invalid/x AS x\nFROM scratch\nCOPY --from=x a /\n"
    )
    to_other = Rule(
        PolicyAction.CONVERT,
        Selector("docker-image://registry.invalid/x:latest"),
        Update("local://other"),
    )
    assert build(folder, None, to_other) == "other"


def test_a_client_evaluates_every_source(folder: Path) -> None:
    asked: list[str] = []

    def answer(request: policysession.CheckPolicyRequest) -> CheckPolicyResponse:
        assert request.source is not None
        assert request.source.source is not None
        asked.append(request.source.source.identifier)
        if len(asked) == 1:  # it may request metadata first
            wish = ResolveSourceMetaRequest(request.source.source, request.platform)
            return CheckPolicyResponse(request=wish)
        return ALLOW

    assert build(folder, answer) == "context"
    assert {"local://dockerfile", "local://context"} <= set(asked)


def test_a_client_turns_a_source_into_another(folder: Path) -> None:
    def answer(request: policysession.CheckPolicyRequest) -> CheckPolicyResponse:
        assert request.source is not None
        assert request.source.source is not None
        if request.source.source.identifier != "local://context":
            return ALLOW
        update = SourceOp("local://other", request.source.source.attrs)
        return CheckPolicyResponse(DecisionResponse(PolicyAction.CONVERT, update=update))

    assert build(folder, answer) == "other"


def test_a_denial_contains_the_message_of_the_client(folder: Path) -> None:
    no = DecisionResponse(PolicyAction.DENY, (DenyMessage("not this"), DenyMessage("nor that")))
    with pytest.raises(StatusError, match="not allowed by policy: action DENY") as caught:
        build(folder, lambda request: CheckPolicyResponse(no))
    assert SourceDecision(("not this", "nor that")) in typed_errors(caught.value)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (CheckPolicyResponse(), "no decision in policy response"),
        (
            CheckPolicyResponse(DecisionResponse(PolicyAction.CONVERT)),
            "convert action requires updated source",
        ),
        (
            CheckPolicyResponse(request=ResolveSourceMetaRequest(SourceOp("local://it"))),
            "policy requested different source identifier",
        ),
        (CheckPolicyResponse(DecisionResponse(77)), "action 77"),
    ],
)
def test_answers_that_make_no_sense(folder: Path, answer: CheckPolicyResponse, reason: str) -> None:
    with pytest.raises(StatusError, match=reason):
        build(folder, lambda request: answer)


def test_a_client_that_endlessly_requests_metadata_is_refused(folder: Path) -> None:
    def answer(request: policysession.CheckPolicyRequest) -> CheckPolicyResponse:
        assert request.source is not None
        wish = ResolveSourceMetaRequest(request.source.source, request.platform)
        return CheckPolicyResponse(request=wish)

    with pytest.raises(StatusError, match="too many policy requests"):
        build(folder, answer)

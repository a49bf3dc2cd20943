from __future__ import annotations

import json

import pytest

from lamina.api.errors import (
    Exit,
    Frontend,
    FrontendCap,
    ProvenanceMaterialsIncomplete,
    Solve,
    Source,
    Stack,
    Subrequest,
    TypedError,
    Vertex,
    typed_errors,
)
from lamina.api.failures import from_status, to_status
from lamina.base import errors
from lamina.base.errors import CommandFailed, FailedStep, LaminaError
from lamina.base.location import Location
from lamina.llb.codec import encode_op
from lamina.llb.op import (
    ChownOpt,
    CopyAction,
    FileAction,
    FileOp,
    Input,
    MkFileAction,
    NamedUser,
    Op,
    UserOpt,
)
from lamina.wire.contract import Code, Detail, StatusError

PLACE = Location("Dockerfile", 2, 3, "FROM x\nRUN a \\\n  b\n")
KINDS = [kind for kind in LaminaError.__subclasses__() if kind is not CommandFailed]


@pytest.mark.parametrize("kind", KINDS)
def test_error_kinds_round_trip(kind: type[LaminaError]) -> None:
    sent = kind("what failed", hint="do this", location=PLACE)
    received = from_status(to_status(sent))
    assert type(received) is kind
    assert received.reason.startswith("what failed")
    assert (received.hint, received.location) == ("do this", PLACE)


def test_a_failed_command() -> None:
    sent = CommandFailed("process failed: exit code: 7", exit_code=7, location=PLACE)
    sent = sent.with_context(step=FailedStep("sha256:1"))
    status = to_status(sent)
    assert (status.code, status.message) == (Code.UNKNOWN, "process failed: exit code: 7")
    exit_status, vertex, solve, source = typed_errors(status)
    assert (exit_status, vertex) == (Exit(7), Vertex("sha256:1"))
    assert solve == Solve()
    assert isinstance(source, Source)
    assert source.info is not None
    assert (source.info.filename, source.info.language) == ("Dockerfile", "Dockerfile")
    # One range per line, as clients search for each of them.
    assert [(r.start, r.end) for r in source.ranges] == [((n, 0), (n, 0)) for n in (2, 3)]
    received = from_status(status)
    assert isinstance(received, CommandFailed)
    assert (received.exit_code, received.location) == (7, PLACE)


def test_messages_of_cancelled_builds_contain_context_canceled() -> None:
    assert to_status(errors.Cancelled("stopped")).message == "stopped: context canceled"
    assert to_status(errors.Cancelled("context canceled")).message == "context canceled"
    assert to_status(errors.Cancelled("x")).code is Code.CANCELLED


def test_statuses_of_other_peers() -> None:
    def kind_of(code: Code) -> type[LaminaError]:
        return type(from_status(StatusError(code, "x")))

    assert kind_of(Code.UNKNOWN) is LaminaError
    assert kind_of(Code.NOT_FOUND) is errors.NotFound
    assert kind_of(Code.UNAVAILABLE) is errors.Unavailable
    broken = [
        Detail("lamina/errors.Error+json", value)
        for value in (b"{", b"[]", b'{"kind": "no such", "hint": 1}')
    ]
    received = from_status(StatusError(Code.UNKNOWN, "x", tuple(broken)))
    assert (type(received), received.hint) == (LaminaError, "")


@pytest.mark.parametrize(
    ("error", "code", "detail"),
    [
        (errors.MissingCapability("a.b"), Code.UNIMPLEMENTED, FrontendCap("a.b")),
        (errors.UnknownRequest("frontend.x"), Code.UNKNOWN, Subrequest("frontend.x")),
        (
            errors.IncompleteMaterials(("context",)),
            Code.UNKNOWN,
            ProvenanceMaterialsIncomplete((("context", "local_source"),)),
        ),
    ],
)
def test_typed_errors_of_the_error_tree(error: LaminaError, code: Code, detail: TypedError) -> None:
    status = to_status(error)
    assert (status.code, typed_errors(status)) == (code, [detail])
    assert type(from_status(status)) is type(error).__mro__[1]


def test_frontends_are_listed_last_and_the_outermost_at_the_end() -> None:
    error = errors.NotFound("x")
    frontends = (("gateway.v0", "image"), ("dockerfile.v0", ""))
    error = error.with_context(step=FailedStep("sha256:2"), frontends=frontends)
    assert typed_errors(to_status(error)) == [
        Vertex("sha256:2"),
        Solve(),
        Frontend("gateway.v0", "image"),
        Frontend("dockerfile.v0"),
    ]


def test_where_it_was_raised() -> None:
    def inner() -> None:
        raise errors.NotFound("x")

    with pytest.raises(errors.NotFound) as raised:
        inner()
    (stack,) = typed_errors(to_status(raised.value))
    assert isinstance(stack, Stack)
    assert stack.frames[0].name.endswith("inner")
    assert stack.frames[1].name.endswith("test_where_it_was_raised")
    assert not any(frame.file.startswith("/") for frame in stack.frames)


def test_an_error_raised_again_is_apart() -> None:
    error = CommandFailed("x", exit_code=7, hint="h", location=PLACE)
    error = error.with_context(step=FailedStep("sha256:2"))
    copied = error.with_context(frontends=(("dockerfile.v0", ""),))
    assert type(copied) is CommandFailed
    assert (copied.exit_code, copied.hint, copied.location, copied.step) == (
        7,
        "h",
        PLACE,
        error.step,
    )
    assert str(copied) == "x"
    assert error.frontends == ()


def test_failed_part_of_a_step() -> None:
    owner = ChownOpt(UserOpt(by_name=NamedUser("me", 1)), UserOpt(by_id=7))
    copy = FileAction(0, 1, 0, copy=CopyAction("/a", "/b", owner, mode=-1))
    op = Op(file=FileOp((copy,)), inputs=(Input("sha256:3", 1),))
    error = errors.NotFound("x")
    error = error.with_context(step=FailedStep("sha256:2", encode_op(op), action=0))
    (_, detail, *_) = to_status(error).details
    assert detail.type_url == "github.com/moby/buildkit/errdefs.Solve+json"
    assert json.loads(detail.value) == {
        "op": {
            "file": {
                "actions": [
                    {
                        "input": 0,
                        "secondaryInput": 1,
                        "output": 0,
                        "copy": {
                            "src": "/a",
                            "dest": "/b",
                            "owner": {
                                "user": {"byName": {"name": "me", "input": 1}},
                                "group": {"byID": 7},
                            },
                            "mode": -1,
                        },
                    }
                ]
            },
            "inputs": [{"digest": "sha256:3", "index": 1}],
        },
        "file": {"index": "0"},
    }
    error = error.with_context(step=FailedStep("sha256:2", content=1))
    (_, solve) = typed_errors(to_status(error))
    assert solve == Solve(content_cache=1)


def test_an_op_that_holds_a_large_file_stays_here() -> None:
    error = errors.NotFound("x")
    mkfile = FileAction(0, -1, 0, mkfile=MkFileAction("/a", data=b"x" * (1 << 20)))
    error = error.with_context(
        step=FailedStep("sha256:2", encode_op(Op(file=FileOp((mkfile,)))), action=0)
    )
    (_, detail, *_) = to_status(error).details
    assert json.loads(detail.value) == {"file": {"index": "0"}}


def test_several_places_the_last_first() -> None:
    first = Location("a", 7, 7, "x", language="", character=2)
    second = Location("b", 8, 9, "y", language="hcl")
    error = errors.NotFound("x", location=first._replace(others=(second,)))
    told = [detail for detail in typed_errors(to_status(error)) if isinstance(detail, Source)]
    assert [(s.info.filename, s.info.language) for s in told if s.info] == [("b", "hcl"), ("a", "")]
    assert [[r.start for r in s.ranges] for s in told] == [[(8, 0), (9, 0)], [(7, 2)]]
    assert from_status(to_status(error)).location == second

"""Typed errors are JSON under BuildKit's type URLs."""

import json

import pytest

from lamina.api.errors import (
    Exit,
    Frame,
    Frontend,
    FrontendCap,
    Solve,
    Source,
    Stack,
    Subrequest,
    TypedError,
    Vertex,
    detail_of,
    typed_errors,
)
from lamina.llb.op import Position, Range, SourceInfo
from lamina.wire.contract import Code, Detail, StatusError

EXAMPLES: list[tuple[TypedError, str, str]] = [
    (Vertex("sha256:1"), "errdefs.Vertex+json", '{"digest":"sha256:1"}'),
    (
        Source(
            SourceInfo("Dockerfile", b"FROM x\n", language="Dockerfile"),
            (Range(Position(2), Position(3, 1)),),
        ),
        "errdefs.Source+json",
        '{"info":{"filename":"Dockerfile","data":"RlJPTSB4Cg==","language":"Dockerfile"},'
        '"ranges":[{"start":{"line":2},"end":{"line":3,"character":1}}]}',
    ),
    (Frontend("dockerfile.v0"), "errdefs.Frontend+json", '{"name":"dockerfile.v0"}'),
    (FrontendCap("c"), "errdefs.FrontendCap+json", '{"name":"c"}'),
    (Subrequest("s"), "errdefs.Subrequest+json", '{"name":"s"}'),
    (
        Solve(("i",), ("m",), file_action=0, description=(("llb.customname", "x"),)),
        "errdefs.Solve+json",
        '{"inputIDs":["i"],"mountIDs":["m"],"file":{"index":"0"},'
        '"description":{"llb.customname":"x"}}',
    ),
    (Solve(content_cache=2), "errdefs.Solve+json", '{"cache":{"index":"2"}}'),
    (Exit(127), "gatewayapi.ExitMessage+json", '{"Code":127}'),
    (
        Stack((Frame("main", "a.py", 3),), ("lamina", "daemon"), 7, "v1", "r"),
        "stack.Stack+json",
        '{"frames":[{"Name":"main","File":"a.py","Line":3}],"cmdline":["lamina","daemon"],'
        '"pid":7,"version":"v1","revision":"r"}',
    ),
]


@pytest.mark.parametrize(("error", "name", "text"), EXAMPLES)
def test_a_typed_error_travels(error: TypedError, name: str, text: str) -> None:
    detail = detail_of(error)
    assert detail.type_url == f"github.com/moby/buildkit/{name}"
    assert detail.value.decode() == text
    assert typed_errors(StatusError(Code.UNKNOWN, "x", (detail,))) == [error]


def test_a_place_without_an_end_still_has_one_on_the_wire() -> None:
    detail = detail_of(Source(SourceInfo("f"), (Range(Position(1)),)))
    assert json.loads(detail.value)["ranges"] == [{"start": {"line": 1}, "end": {}}]


@pytest.mark.parametrize(
    "value", [b"", b"[]", b"null", b"{", b'{"ranges":3}', b'{"info":[]}', b'{"info":{"data":3}}']
)
def test_details_that_are_malformed_or_unknown_are_passed_over(value: bytes) -> None:
    known = detail_of(Vertex("v"))
    source = Detail("github.com/moby/buildkit/errdefs.Source+json", value)
    error = StatusError(Code.UNKNOWN, "x", (source, Detail("other", b"x"), known))
    found = typed_errors(error)
    assert found[-1] == Vertex("v")
    assert all(isinstance(item, (Source, Vertex)) for item in found)

from __future__ import annotations

import pytest

from lamina.api.errors import Exit, Source, Vertex, typed_errors
from lamina.api.failures import from_status, to_status
from lamina.base import errors
from lamina.base.errors import CommandFailed, LaminaError
from lamina.base.location import Location
from lamina.wire.contract import Code, Detail, StatusError

PLACE = Location("Dockerfile", 2, 3, "FROM x\nRUN a \\\n  b\n")
KINDS = [kind for kind in LaminaError.__subclasses__() if kind is not CommandFailed]


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_come_back(kind: type[LaminaError]) -> None:
    sent = kind("what failed", hint="do this", location=PLACE)
    received = from_status(to_status(sent))
    assert type(received) is kind
    assert received.reason.startswith("what failed")
    assert (received.hint, received.location) == ("do this", PLACE)


def test_a_failed_command() -> None:
    sent = CommandFailed("process failed: exit code: 7", exit_code=7, location=PLACE)
    status = to_status(sent, vertex="sha256:1")
    assert (status.code, status.message) == (Code.UNKNOWN, "process failed: exit code: 7")
    exit_status, vertex, source = typed_errors(status)
    assert (exit_status, vertex) == (Exit(7), Vertex("sha256:1"))
    assert isinstance(source, Source)
    assert source.info is not None
    assert (source.info.filename, source.info.language) == ("Dockerfile", "Dockerfile")
    # One range a line, as clients look for each of them.
    assert [(r.start, r.end) for r in source.ranges] == [((n, 0), (n, 0)) for n in (2, 3)]
    received = from_status(status)
    assert isinstance(received, CommandFailed)
    assert (received.exit_code, received.location) == (7, PLACE)


def test_clients_tell_cancelled_builds_by_the_message() -> None:
    assert to_status(errors.Cancelled("stopped")).message == "stopped: context canceled"
    assert to_status(errors.Cancelled("context canceled")).message == "context canceled"
    assert to_status(errors.Cancelled("x")).code is Code.CANCELLED


def test_what_others_say() -> None:
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

from __future__ import annotations

import errno
import io
from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput, Unavailable
from lamina.base.location import Location
from lamina.cli.errors import describe, report

if TYPE_CHECKING:
    import pytest

PLACE = Location("Dockerfile", 2, 2, "FROM scratch\nRUN flase\nCMD x\n")


def test_an_error_shows_place_reason_and_hint() -> None:
    error = InvalidInput("no such thing", hint="try another", location=PLACE)
    assert describe(error) == (
        "Dockerfile:2\n"
        "--------------------\n"
        "   1 |     FROM scratch\n"
        "   2 | >>> RUN flase\n"
        "   3 |     CMD x\n"
        "   4 |     \n"
        "--------------------\n"
        "ERROR: no such thing\n"
        "hint: try another"
    )


def test_an_error_without_context() -> None:
    assert describe(Unavailable("no route")) == "ERROR: no route"
    assert describe(InvalidInput("x", location=Location("a", 7, 7))) == "a:7:\nERROR: x"


def test_the_system_s_refusals_are_translated() -> None:
    text = describe(OSError(errno.ENOSPC, "No space left on device", "/x"))
    assert text.startswith("ERROR: ")
    assert "No space left on device" in text
    assert "lamina prune" in text


def test_anything_else_is_our_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LAMINA_DEBUG", raising=False)
    stream = io.StringIO()
    report(KeyError("x"), stream)
    assert stream.getvalue().startswith(
        "ERROR: internal error: KeyError: 'x'\nhint: LAMINA_DEBUG=1"
    )
    assert "Traceback" not in stream.getvalue()
    monkeypatch.setenv("LAMINA_DEBUG", "1")
    report(KeyError("x"), stream)
    assert "KeyError" in stream.getvalue()


def test_debugging_shows_tracebacks_of_errors_that_are_not_the_user_s(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LAMINA_DEBUG", "1")
    stream = io.StringIO()
    try:
        raise Unavailable("no route")
    except Unavailable as error:
        report(error, stream)
    assert "Traceback" in stream.getvalue()
    stream = io.StringIO()
    try:
        raise InvalidInput("bad")
    except InvalidInput as error:
        report(error, stream)
    assert stream.getvalue() == "ERROR: bad\n"


def test_text_that_cannot_be_encoded_is_shown_all_the_same() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    report(InvalidInput("file \udcff – …"), stream)
    assert raw.getvalue() == b"ERROR: file ? ? ?\n"

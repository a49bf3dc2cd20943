"""`inspect` of a record of BuildKit, which has none of lamina's extensions."""

from __future__ import annotations

import json
from contextlib import nullcontext
from typing import TYPE_CHECKING

import pytest

from lamina.api.history import BuildHistoryRecord
from lamina.api.progress import StatusResponse, Vertex, VertexLog
from lamina.api.status import Status
from lamina.api.timestamp import at_seconds
from lamina.base.errors import NotFound
from lamina.cli.commands import COMMANDS
from lamina.cli.flags import parse
from lamina.cli.history import inspect
from lamina.records.table import StepCounts, row_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from lamina.records.rows import RecordRow

RECORD = BuildHistoryRecord(
    "abc",
    "dockerfile.v0",
    (
        ("build-arg:A", "1"),
        ("context", "https://user:secret@h.example/app.git"),
        ("filename", "x.Dockerfile"),
        ("no-cache", "one,two"),
        ("platform", "linux/amd64,linux/arm64"),
        ("shm-size", "64m"),
        ("strange", "value"),
    ),
    error=Status(2, "exit code: 1"),
    created_at=at_seconds(10.0),
    completed_at=at_seconds(100.0),
    num_total_steps=4,
    num_completed_steps=3,
    num_cached_steps=1,
)
MESSAGES = (
    StatusResponse((Vertex("d1", (), "RUN false", started=at_seconds(11.0)),)),
    StatusResponse(logs=(VertexLog("d1", at_seconds(12.0), 1, b"why \x1b[1mnot\n"),)),
    StatusResponse(
        (
            Vertex(
                "d1",
                (),
                "RUN false",
                started=at_seconds(11.0),
                completed=at_seconds(13.0),
                error="exit code: 1",
            ),
        )
    ),
)


class BuildKitHistory:
    """Implements `BuildHistory` for one record."""

    def rows(self) -> Sequence[RecordRow]:
        return [row_of(RECORD)]

    def counts(self) -> Mapping[str, StepCounts]:
        return {}

    def contexts(self) -> Mapping[str, str]:
        return {}

    def record(self, ref: str) -> BuildHistoryRecord:
        return RECORD

    def log(self, record: BuildHistoryRecord, *, follow: bool = False) -> Iterator[StatusResponse]:
        return iter(MESSAGES)

    def blob(self, digest: str) -> bytes:
        raise NotFound(digest)

    def definition(self, digest: str) -> None:
        return None

    def delete(self, refs: Sequence[str]) -> None:
        return


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> tuple[str, str]:
    """The pretty form and the JSON form."""
    monkeypatch.setattr(inspect, "open_history", lambda _: nullcontext(BuildKitHistory()))
    forms = []
    for words in ([], ["--format=json"]):
        assert inspect.run(parse(COMMANDS["history"], ["inspect", *words]), []) == 0
        forms.append(capsys.readouterr().out)
    return forms[0], forms[1]


def test_the_pretty_form(shown: tuple[str, str]) -> None:
    pretty = shown[0]
    assert "Dockerfile: x.Dockerfile\n" in pretty
    assert "Platforms:  linux/amd64, linux/arm64\n" in pretty
    assert "Duration:    1m 30s\nError:       Unknown exit code: 1\n" in pretty
    assert "Build Steps: 3/4 (25% cached)" in pretty
    assert "No Cache Filter: one, two\nShm Size:        64m\nstrange:         value" in pretty
    assert "Logs:\n> => RUN false:\n> why  [1mnot\n" in pretty
    assert "The builder recorded no cache keys" in pretty


def test_the_json_form(shown: tuple[str, str]) -> None:
    document = json.loads(shown[1])
    assert document["Config"]["RestRaw"] == [{"Name": "strange", "Value": "value"}]
    assert document["Duration"] == 90_000_000_000
    [step] = document["Steps"]
    assert (step["Number"], step["Status"], step["Duration"]) == (1, "error", 2_000_000_000)
    assert "Cache" not in step and "Location" not in step
    assert document["Error"] == {"Code": 2, "Message": "exit code: 1"}


def test_passwords_are_not_shown(shown: tuple[str, str]) -> None:
    assert all("secret" not in text for text in shown)

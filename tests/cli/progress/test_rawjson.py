from __future__ import annotations

import base64
import json

from lamina.base.events import Event, ProgressGroup, ReasonEvent, WarningEvent
from lamina.base.location import Location
from lamina.cli.progress.rawjson import RawJsonRenderer
from tests.cli.progress.progress_script import key, log, status, vertex


def render(*events: Event) -> list[dict[str, object]]:
    written = bytearray()
    renderer = RawJsonRenderer(written.extend)
    renderer.update(events, 0.0)
    renderer.finish(0.0)
    return [json.loads(line) for line in written.decode().split("\n") if line]


def test_each_kind_of_event() -> None:
    a = str(key("a"))
    place = Location("Dockerfile", 3, 4, "FROM x\n")
    started = vertex("a", "RUN x", 1577934245.0, 1577934245.25, error="no")._replace(
        inputs=(key("b"),), group=ProgressGroup("g", "group")
    )
    assert render(
        vertex("b", "FROM x", 1577934245.5, 1577934246.0, cached=True),
        started,
        status("a", "extracting", 1577934245.000001, 1, 2, 1577934245.0),
        log("a", b"\xff\n", 1577934245.0),
        WarningEvent(key("a"), "short", ("detail",), "https://x", place, 2),
    ) == [
        {
            "vertexes": [
                {
                    "digest": str(key("b")),
                    "name": "FROM x",
                    "started": "2020-01-02T03:04:05.5Z",
                    "completed": "2020-01-02T03:04:06Z",
                    "cached": True,
                }
            ]
        },
        {
            "vertexes": [
                {
                    "digest": a,
                    "inputs": [str(key("b"))],
                    "name": "RUN x",
                    "started": "2020-01-02T03:04:05Z",
                    "completed": "2020-01-02T03:04:05.25Z",
                    "error": "no",
                    "progressGroup": {"id": "g", "name": "group"},
                }
            ]
        },
        {
            "statuses": [
                {
                    "id": "extracting",
                    "vertex": a,
                    "total": 2,
                    "current": 1,
                    "timestamp": "2020-01-02T03:04:05.000001Z",
                    "started": "2020-01-02T03:04:05Z",
                }
            ]
        },
        {
            "logs": [
                {
                    "vertex": a,
                    "stream": 1,
                    "data": base64.b64encode(b"\xff\n").decode(),
                    "timestamp": "2020-01-02T03:04:05Z",
                }
            ]
        },
        {
            "warnings": [
                {
                    "vertex": a,
                    "level": 2,
                    "short": base64.b64encode(b"short").decode(),
                    "detail": [base64.b64encode(b"detail").decode()],
                    "url": "https://x",
                    "sourceInfo": {
                        "filename": "Dockerfile",
                        "data": base64.b64encode(b"FROM x\n").decode(),
                    },
                    "range": [{"start": {"line": 3}, "end": {"line": 4}}],
                }
            ]
        },
    ]


def test_names_that_are_no_text_stay_on_one_line() -> None:
    (document,) = render(vertex("a", "RUN a\n\udcff\u2028", 1.0))
    assert str(document).count("RUN a") == 1


def test_the_reason_of_a_cache_miss_is_a_field_that_other_readers_skip() -> None:
    (document,) = render(ReasonEvent(key("a"), "a changed"))
    assert document == {"reasons": [{"vertex": str(key("a")), "text": "a changed"}]}

"""Static reports: the page with the answers of the API for one build, in one HTML file.

The file has no address of a server. Its Content-Security-Policy allows only its own script and
style sheet, by their digests (Content Security Policy Level 3, section 2.3.1).
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import tempfile
from contextlib import closing
from typing import TYPE_CHECKING, Any

from lamina import __version__
from lamina.base.errors import LaminaError
from lamina.client.attachments import attachments_of
from lamina.ui.build_document import build_document
from lamina.ui.documents import Info, LogLine
from lamina.ui.explanations import explanations, savings
from lamina.ui.open_build import OpenBuild
from lamina.ui.requests import attachment_content, log_index, log_page
from lamina.ui.static_files import read_static

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lamina.api.history import BuildHistoryRecord
    from lamina.client.build_history import BuildHistory

_FIRST_LINES = 2_000
_LAST_LINES = 20_000
_LOG_BYTES = 24 << 20
_PAGE = 2_000
_ATTACHMENT = 4 << 20


def make_report(history: BuildHistory, record: BuildHistoryRecord) -> str:
    """The HTML of a report. Raises NotFound (the page was not built), Corrupt.

    Of a long log, it has the first and the last lines of each step.
    """
    with (
        tempfile.TemporaryDirectory(prefix="lamina-report-") as folder,
        closing(OpenBuild(history, record, folder)) as build,
    ):
        answers = dict(_answers(history, build))
    return _page(answers, f"{answers['name']} – lamina")


def _answers(history: BuildHistory, build: OpenBuild) -> Iterator[tuple[str, Any]]:
    """The answers by path, the ID of the build as `ref`, and its name."""
    record, progress = build.record, build.progress()
    document = build_document(history, record, progress)
    path = f"/api/builds/{record.ref}"
    yield "ref", record.ref
    yield "name", document["row"]["name"] or record.ref
    yield (
        "/api/info",
        Info(version=__version__, store="", changes=False, report=True, images=False),
    )
    yield path, document
    yield f"{path}/explain", explanations(history, record, progress)
    yield f"{path}/savings", savings(history, record, progress)
    index = log_index(build)
    yield f"{path}/log", index
    room = _LOG_BYTES
    for log in index["steps"]:
        lines = _lines(build, log["step"], log["lines"], room)
        room -= sum(len(line["text"]) for line in lines)
        yield f"{path}/log/lines?step={log['step']}", lines
    for attachment in attachments_of(history, record):
        try:
            content = attachment_content(history, attachment)
        except LaminaError:
            continue  # it was pruned
        if len(json.dumps(content)) <= _ATTACHMENT:
            yield f"{path}/attachments/{attachment.digest}", content


def _lines(build: OpenBuild, step: str, total: int, room: int) -> list[LogLine]:
    """The first and the last lines of a step's log, in `room` bytes."""
    ranges = [(0, total)]
    if total > _FIRST_LINES + _LAST_LINES:
        ranges = [(0, _FIRST_LINES), (total - _LAST_LINES, total)]
    found: list[LogLine] = []
    for start, end in ranges:
        first = start
        while first < end and room > 0:
            lines = log_page(build, step, first, min(_PAGE, end - first))["lines"]
            if not lines:
                break
            found += lines
            first += len(lines)
            room -= sum(len(line["text"]) for line in lines)
    return found


def _page(answers: dict[str, Any], title: str) -> str:
    # A script must not contain the end of its element, nor must data.
    script = read_static(".js").replace("</script", "<\\/script")
    style = read_static(".css")
    data = json.dumps(answers, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        data = data.replace(character, f"\\u{ord(character):04x}")
    policy = "; ".join(
        (
            "default-src 'none'",
            f"script-src '{_digest(script)}'",
            f"style-src '{_digest(style)}'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>{html.escape(title)}</title>
<style>{style}</style>
</head>
<body>
<div id="app"></div>
<script type="application/json" id="report">{data}</script>
<script type="module">{script}</script>
</body>
</html>
"""


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()

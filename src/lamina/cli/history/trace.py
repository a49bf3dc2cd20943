"""`lamina history trace`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput, from_os_error
from lamina.cli.opening import open_history
from lamina.cli.progress.text import encoded
from lamina.records.naming import find_record, in_order
from lamina.records.spans import chrome_document, otlp_document, spans_of
from lamina.records.steps import steps_of
from lamina.system.descriptors import write_all

if TYPE_CHECKING:
    from lamina.cli.flags import Parsed

_STDOUT = 1


def run(parsed: Parsed, names: list[str]) -> int:
    """Write the trace of a build to standard output or a file."""
    output = parsed.text("format", "otlp")
    if output not in ("otlp", "chrome", "json"):
        raise InvalidInput(f'unknown format "{output}"', hint="use otlp or chrome")
    with open_history(parsed) as history:
        record = history.record(find_record(history.rows(), names[0] if names else "").ref)
        steps = in_order(steps_of(history.log(record), history.definition))
    spans = spans_of(record, steps)
    chrome = output == "chrome"
    document = chrome_document(spans) if chrome else otlp_document(record.ref, spans)
    data = encoded(json.dumps(document, indent=2, ensure_ascii=False)) + b"\n"
    path = parsed.text("output", "-")
    if path == "-":
        write_all(_STDOUT, data)
        return 0
    try:
        with open(path, "wb") as file:
            file.write(data)
    except OSError as error:
        raise from_os_error(error, "write the trace") from error
    return 0

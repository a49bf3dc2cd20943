"""`lamina history logs`."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput
from lamina.base.events import VertexEvent
from lamina.cli.opening import open_history
from lamina.client.watching import events_of
from lamina.records.naming import find_record, find_steps, in_order
from lamina.records.steps import steps_of
from lamina.system.cancel import Cancellation
from lamina.system.descriptors import write_all

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lamina.api.progress import StatusResponse
    from lamina.base.events import Event
    from lamina.cli.flags import Parsed
    from lamina.cli.progress.pump import Renderer

_STDOUT = 1


def run(parsed: Parsed, names: list[str]) -> int:
    """Print the log of a build, or of some steps of it, to standard output.

    The log of a running build is printed while it is written.
    """
    raw = _is_raw(parsed)
    with open_history(parsed) as history:
        record = history.record(find_record(history.rows(), names[0] if names else "").ref)
        messages = history.log(record, follow=Cancellation())
        sys.stdout.flush()
        if not parsed.given("step") and (raw or record.logs is None):
            _follow(messages, raw=raw)
            return 0
        kept = list(messages)
    steps = in_order(steps_of(kept, lambda _: None))
    chosen = tuple(enumerate(steps, 1))
    if parsed.given("step"):
        chosen = find_steps(steps, parsed.text("step"))
    _show_steps(kept, {step.digest: number for number, step in chosen}, raw=raw)
    return 0


def _follow(messages: Iterable[StatusResponse], *, raw: bool) -> None:
    """Print a log in the order in which it is written."""
    renderer: Renderer
    if raw:
        from lamina.cli.progress.rawjson import RawJsonRenderer

        renderer = RawJsonRenderer(_write)
    else:
        from lamina.cli.progress.plain import PlainRenderer

        renderer = PlainRenderer(_write)
    for message in messages:
        renderer.update(list(events_of(message)), time.monotonic())
    renderer.finish(time.monotonic())


def _is_raw(parsed: Parsed) -> bool:
    mode = parsed.text("progress", "plain")
    output = parsed.text("format")
    if output not in ("", "json"):
        raise InvalidInput(f'unknown format "{output}"', hint="use json")
    if mode not in ("auto", "plain", "rawjson"):
        raise InvalidInput(
            f"`lamina history logs` cannot show --progress={mode}", hint="use plain or rawjson"
        )
    return bool(output) or mode == "rawjson"


def _show_steps(messages: list[StatusResponse], numbers: dict[str, int], *, raw: bool) -> None:
    """Print the logs of some steps, one after the other.

    Args:
        numbers: the numbers of the steps by digest, in the order to print them.
    """
    events: dict[str, list[Event]] = {digest: [] for digest in numbers}
    for message in messages:
        for event in events_of(message):
            if isinstance(event, VertexEvent):
                digest, event = event.digest, event if raw else event._replace(group=None)
            else:
                digest = event.vertex
            if digest in events:
                events[digest].append(event)
    if raw:
        from lamina.cli.progress.rawjson import RawJsonRenderer

        _replay(RawJsonRenderer(_write), events.values())
    else:
        from lamina.cli.progress.plain import PlainRenderer

        _replay(PlainRenderer(_write, numbers), events.values())


def _replay(renderer: Renderer, groups: Iterable[list[Event]]) -> None:
    for group in groups:
        renderer.update(group, 0.0)
    renderer.finish(0.0)


def _write(data: bytes) -> None:
    write_all(_STDOUT, data)

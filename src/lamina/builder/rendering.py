"""Ready displays of progress: for terminals and for notebooks."""

from __future__ import annotations

import html
import os
import sys
import time
from typing import TYPE_CHECKING, TextIO

from lamina.base.events import LogEvent, VertexEvent, WarningEvent
from lamina.cli.progress.choose import open_display

if TYPE_CHECKING:
    from lamina.base.digest import Digest
    from lamina.base.events import Event
    from lamina.cli.progress.choose import Display

_LOG_LINES = 10
_PERIOD = 0.2


def terminal_progress(mode: str = "auto", file: TextIO | None = None) -> TerminalProgress:
    """A display like that of `lamina build --progress MODE`, as `on_event` of a build.

    Use it in a `with` block, which shows the final state. `file` is standard error by default.
    Raises InvalidInput.
    """
    return TerminalProgress(open_display(mode, (file or sys.stderr).fileno(), os.environ))


class TerminalProgress:
    """A display that gets events, as a context manager."""

    def __init__(self, display: Display) -> None:
        self._display = display

    def __call__(self, event: Event, /) -> None:
        self._display(event)

    def __enter__(self) -> TerminalProgress:
        return self

    def __exit__(self, *exception: object) -> None:
        self._display.close()


class NotebookProgress:
    """A table of steps as HTML, as `on_event` of a build in a notebook.

    In Jupyter the table is displayed when the first event arrives, and updated. Everything that a
    build prints is escaped.
    """

    def __init__(self) -> None:
        self._steps: dict[Digest, VertexEvent] = {}
        self._logs: dict[Digest, list[str]] = {}
        self._warnings: list[str] = []
        self._handle: object = None
        self._shown = 0.0

    def __call__(self, event: Event, /) -> None:
        match event:
            case VertexEvent():
                self._steps[event.digest] = event
            case LogEvent():
                lines = self._logs.setdefault(event.vertex, [])
                lines += event.data.decode("utf-8", "replace").splitlines()
                del lines[:-_LOG_LINES]
            case WarningEvent():
                self._warnings.append(event.short)
        ended = isinstance(event, VertexEvent) and event.completed is not None
        if ended or time.monotonic() - self._shown > _PERIOD:
            self._display()

    def _repr_html_(self) -> str:
        rows = [self._row(step) for step in self._steps.values()]
        warnings = [f"<li>{html.escape(text)}</li>" for text in self._warnings]
        listed = f"<ul>{''.join(warnings)}</ul>" if warnings else ""
        head = "<tr><th>Step</th><th>Status</th><th>Time</th></tr>"
        return f"<table>{head}{''.join(rows)}</table>{listed}"

    def _row(self, step: VertexEvent) -> str:
        status = _status(step)
        cells = f"<td>{html.escape(step.name)}</td><td>{status}</td><td>{_seconds(step)}</td>"
        log = self._logs.get(step.digest, [])
        if status == "cached" or not log or (status == "done" and not step.error):
            return f"<tr>{cells}</tr>"
        text = html.escape("\n".join(log))
        return f"<tr>{cells}</tr><tr><td colspan=3><pre>{text}</pre></td></tr>"

    def _display(self) -> None:
        self._shown = time.monotonic()
        display = sys.modules.get("IPython.display")
        if display is None:
            return
        if self._handle is None:
            self._handle = display.display(self, display_id=True)
        elif hasattr(self._handle, "update"):
            self._handle.update(self)


def _status(step: VertexEvent) -> str:
    if step.error:
        return "failed"
    if step.cached:
        return "cached"
    if step.completed is not None:
        return "done"
    return "waiting" if step.started is None else "running"


def _seconds(step: VertexEvent) -> str:
    if step.started is None:
        return ""
    return f"{(step.completed or time.time()) - step.started:.1f} s"

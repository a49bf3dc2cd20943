"""Chooses the display for `--progress`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol

from lamina.base.errors import InvalidInput
from lamina.system.descriptors import write_all

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager

    from lamina.base.events import Event
    from lamina.cli.progress.pump import Renderer

MODES = ("auto", "tty", "plain", "rawjson", "quiet", "none")
"""`none` is `quiet` in buildx."""


class Display(Protocol):
    """An EventSink that must be closed, which shows the final state."""

    def __call__(self, event: Event, /) -> None: ...

    def paused(self) -> AbstractContextManager[None]:
        """Nothing is shown during the block."""
        ...

    def close(self) -> None: ...


def display_mode(mode: str, descriptor: int, environ: Mapping[str, str]) -> str:
    """What `auto` means for a file descriptor: `tty` on a terminal that can move its cursor, else
    `plain`. Other modes are returned as they are."""
    if mode != "auto":
        return mode
    return "tty" if os.isatty(descriptor) and environ.get("TERM") != "dumb" else "plain"


def open_display(mode: str, descriptor: int, environ: Mapping[str, str]) -> Display:
    """Open a display that writes to a file descriptor (standard error's).

    Raises InvalidInput for `tty` without a terminal.
    """
    is_terminal = os.isatty(descriptor)
    mode = display_mode(mode, descriptor, environ)
    if mode in ("quiet", "none"):
        from lamina.cli.progress.quiet import QuietSink

        return QuietSink()
    if mode == "tty" and not is_terminal:
        raise InvalidInput(
            "--progress=tty needs a terminal on standard error",
            hint="use --progress=plain, or --progress=auto",
        )
    from lamina.cli.progress.pump import Pump

    return Pump(_renderer(mode, descriptor, environ))


def _renderer(mode: str, descriptor: int, environ: Mapping[str, str]) -> Renderer:
    def out(data: bytes) -> None:
        write_all(descriptor, data if shown is None else shown(data))

    shown = None
    if mode != "tty" and os.isatty(descriptor):
        from lamina.cli.terminal import TerminalFilter

        shown = TerminalFilter()
    if mode == "plain":
        from lamina.cli.progress.plain import PlainRenderer

        return PlainRenderer(out)
    if mode == "rawjson":
        from lamina.cli.progress.rawjson import RawJsonRenderer

        return RawJsonRenderer(out)
    from lamina.cli.progress.colors import choose_colors
    from lamina.cli.progress.tty import TtyRenderer, terminal_size

    wanted = environ.get("BUILDKIT_TTY_LOG_LINES", "")
    log_lines = int(wanted) if wanted.isdigit() and int(wanted) else 6
    return TtyRenderer(out, lambda: terminal_size(descriptor), choose_colors(environ), log_lines)

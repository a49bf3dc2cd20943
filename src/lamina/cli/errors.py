"""Formats errors for the terminal: excerpt, reason, hint; a traceback only on request."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from lamina.base.errors import CommandFailed, InvalidInput, LaminaError, from_os_error

if TYPE_CHECKING:
    from typing import TextIO

_MORE = "LAMINA_DEBUG=1 shows where it happened; please report it with that output"


def debugging() -> bool:
    """Whether `LAMINA_DEBUG` (or `--debug`, which sets it) is on."""
    return os.environ.get("LAMINA_DEBUG", "") not in ("", "0", "false")


def describe(error: BaseException) -> str:
    """An error as lines of text, without the last newline.

    A LaminaError has its excerpt, `ERROR: reason` and `hint: …`. Errors of system calls are
    translated. Everything else is an internal error.
    """
    if isinstance(error, OSError) and error.errno is not None:
        error = from_os_error(error, "system call failed:")
    if not isinstance(error, LaminaError):
        what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        return f"ERROR: internal error: {what}\nhint: {_MORE}"
    lines = []
    if error.location is not None:
        lines.append(error.location.excerpt() or f"{error.location}:")
    lines.append(f"ERROR: {error.reason}")
    if error.hint:
        lines.append(f"hint: {error.hint}")
    return "\n".join(lines)


def report(error: BaseException, stream: TextIO | None = None) -> None:
    """Write an error to standard error, with its traceback when debugging."""
    stream = stream or sys.stderr
    if debugging() and not isinstance(error, InvalidInput | CommandFailed):
        import traceback

        traceback.print_exception(error, file=stream)
    text = describe(error).encode("utf-8", "replace").decode()
    encoding = getattr(stream, "encoding", None) or "utf-8"
    print(text.encode(encoding, "replace").decode(encoding), file=stream, flush=True)

"""`lamina push` and `lamina pull`."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from lamina.base.errors import Cancelled
from lamina.cli.build_command import progress_mode
from lamina.cli.interrupt import interruptible
from lamina.cli.opening import open_engine
from lamina.cli.progress.choose import open_display

if TYPE_CHECKING:
    from collections.abc import Callable

    from lamina.base.events import EventSink
    from lamina.cli.flags import Parsed
    from lamina.client.contract import Builder
    from lamina.system.cancel import Cancellation

_STDERR = 2


def push(parsed: Parsed) -> int:
    """Push each image; print `name@digest` of what was pushed."""

    def one(builder: Builder, name: str, events: EventSink, cancel: Cancellation) -> str:
        metadata = builder.push(
            name, insecure=parsed.switch("insecure"), events=events, cancel=cancel
        )
        return f"{metadata['image.name']}@{metadata['containerimage.digest']}"

    return _each(parsed, one)


def pull(parsed: Parsed) -> int:
    """Pull each image; print its name."""

    def one(builder: Builder, name: str, events: EventSink, cancel: Cancellation) -> str:
        return builder.pull(
            name, platform=parsed.text("platform"), events=events, cancel=cancel
        ).name

    return _each(parsed, one)


def _each(parsed: Parsed, work: Callable[[Builder, str, EventSink, Cancellation], str]) -> int:
    done: list[str] = []
    with open_engine(parsed) as builder, interruptible() as interruption:
        display = open_display(progress_mode(parsed), _STDERR, os.environ)
        try:
            try:
                for name in parsed.arguments:
                    done.append(work(builder, name, display, interruption.cancel))
            finally:
                display.close()
        except Cancelled:
            if not interruption.signal:
                raise
            print("ERROR: interrupted", file=sys.stderr)
            return 128 + interruption.signal
    print("\n".join(done))
    return 0

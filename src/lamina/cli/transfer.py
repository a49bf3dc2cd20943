"""`lamina push` and `lamina pull`."""

from __future__ import annotations

import os
from contextlib import closing
from typing import TYPE_CHECKING

from lamina.base.errors import Cancelled
from lamina.cli.build_command import progress_mode
from lamina.cli.interrupt import interruptible
from lamina.cli.opening import open_local_store
from lamina.cli.progress.choose import open_display

if TYPE_CHECKING:
    from collections.abc import Callable

    from lamina.base.events import EventSink
    from lamina.cli.flags import Parsed
    from lamina.client.contract import LocalStore
    from lamina.system.cancel import Cancellation

_STDERR = 2


def push(parsed: Parsed) -> int:
    """Push each image. Prints `name@digest` of each."""

    def one(store: LocalStore, name: str, events: EventSink, cancel: Cancellation) -> str:
        metadata = store.push(
            name, insecure=parsed.switch("insecure"), events=events, cancel=cancel
        )
        return f"{metadata['image.name']}@{metadata['containerimage.digest']}"

    instead = "build with --push or --output type=registry"
    return _each(parsed, one, "push stored images", instead)


def pull(parsed: Parsed) -> int:
    """Pull each image. Prints its name."""

    def one(store: LocalStore, name: str, events: EventSink, cancel: Cancellation) -> str:
        return store.pull(name, platform=parsed.text("platform"), events=events, cancel=cancel).name

    return _each(parsed, one, "pull images", "a daemon pulls the images that a build needs")


def _each(
    parsed: Parsed,
    work: Callable[[LocalStore, str, EventSink, Cancellation], str],
    doing: str,
    instead: str,
) -> int:
    done: list[str] = []
    with open_local_store(parsed, doing, instead) as store, interruptible() as interruption:
        try:
            with closing(open_display(progress_mode(parsed), _STDERR, os.environ)) as display:
                for name in parsed.arguments:
                    done.append(work(store, name, display, interruption.cancel))
        except Cancelled as error:
            return interruption.exit_status(error)
    print("\n".join(done))
    return 0

"""`--progress=quiet`: no output."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from lamina.base.events import Event


class QuietSink:
    """An EventSink that needs no thread."""

    def __call__(self, event: Event, /) -> None:
        return

    def paused(self) -> AbstractContextManager[None]:
        return nullcontext()

    def close(self) -> None:
        return

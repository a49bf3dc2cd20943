"""The events of several builds as one stream: each step is shown once, with its target's name."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from lamina.base.events import VertexEvent, WarningEvent

if TYPE_CHECKING:
    from lamina.base.digest import Digest
    from lamina.base.events import Event, EventSink


class TargetEvents:
    """Merges events. A step that targets share belongs to the first one that shows it."""

    def __init__(self, display: EventSink) -> None:
        self._display = display
        self._owners: dict[Digest, str] = {}
        self._lock = threading.Lock()
        self.warnings: list[WarningEvent] = []

    def of(self, target: str) -> EventSink:
        """The sink for one target."""

        def sink(event: Event, /) -> None:
            self._pass_on(target, event)

        return sink

    def _pass_on(self, target: str, event: Event) -> None:
        digest = event.digest if isinstance(event, VertexEvent) else event.vertex
        with self._lock:
            if isinstance(event, WarningEvent):
                self.warnings.append(event)
            if self._owners.setdefault(digest, target) != target:
                return
            if isinstance(event, VertexEvent):
                group = event.group
                if group is not None:
                    group = group._replace(name=prefixed(target, group.name))
                event = event._replace(name=prefixed(target, event.name), group=group)
            self._display(event)


def prefixed(target: str, name: str) -> str:
    """`[stage 1/2] RUN` becomes `[target stage 1/2] RUN`."""
    if name.startswith("["):
        return f"[{target} {name[1:]}"
    return f"[{target}] {name}"

"""The events of several builds as one stream: each step is shown once, with the name of its target
or node."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from lamina.base.events import VertexEvent, WarningEvent

if TYPE_CHECKING:
    from lamina.base.digest import Digest
    from lamina.base.events import Event, EventSink


class MergedEvents:
    """Merges events. A step that builds share belongs to the first one that shows it."""

    def __init__(self, display: EventSink) -> None:
        self._display = display
        self._owners: dict[Digest, str] = {}
        self._lock = threading.Lock()
        self.warnings: list[WarningEvent] = []

    def of(self, name: str) -> EventSink:
        """The sink for one build."""

        def sink(event: Event, /) -> None:
            self._pass_on(name, event)

        return sink

    def _pass_on(self, owner: str, event: Event) -> None:
        digest = event.digest if isinstance(event, VertexEvent) else event.vertex
        with self._lock:
            if isinstance(event, WarningEvent):
                self.warnings.append(event)
            if self._owners.setdefault(digest, owner) != owner:
                return
            if isinstance(event, VertexEvent):
                group = event.group
                if group is not None:
                    group = group._replace(name=prefixed(owner, group.name))
                event = event._replace(name=prefixed(owner, event.name), group=group)
            self._display(event)


def prefixed(owner: str, name: str) -> str:
    """`[stage 1/2] RUN` becomes `[owner stage 1/2] RUN`."""
    if name.startswith("["):
        return f"[{owner} {name[1:]}"
    return f"[{owner}] {name}"

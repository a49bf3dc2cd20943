"""Progress events: one stream, which renderers read.

The four kinds and their fields are those of BuildKit's `SolveStatus`
(`api/services/control/control.proto`), which `--progress=rawjson` prints and the control API sends.
Times are floats: seconds since the epoch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from lamina.base.digest import Digest
    from lamina.base.location import Location


class ProgressGroup(NamedTuple):
    """Vertices that are shown as one."""

    id: str
    name: str
    weak: bool = False


class VertexEvent(NamedTuple):
    """The whole present state of a vertex; a later event for the same digest replaces it.

    A vertex may start and complete several times (BuildKit shows the sum): `started` without
    `completed` means it is under way.
    """

    digest: Digest
    name: str
    inputs: tuple[Digest, ...] = ()
    started: float | None = None
    completed: float | None = None
    cached: bool = False
    error: str = ""
    group: ProgressGroup | None = None


class StatusEvent(NamedTuple):
    """A sub-line of a vertex: a transfer or an export. `current`/`total` are bytes (or files)."""

    vertex: Digest
    id: str
    timestamp: float
    current: int = 0
    total: int = 0
    started: float | None = None
    completed: float | None = None
    name: str = ""


class LogEvent(NamedTuple):
    """Bytes that a vertex's command wrote. `stream` is 1 for stdout, 2 for stderr."""

    vertex: Digest
    stream: int
    data: bytes
    timestamp: float


class WarningEvent(NamedTuple):
    """Something a person should know about a vertex that did not stop it."""

    vertex: Digest
    short: str
    detail: tuple[str, ...] = ()
    url: str = ""
    location: Location | None = None
    level: int = 1


Event = VertexEvent | StatusEvent | LogEvent | WarningEvent


class EventSink(Protocol):
    """Takes events from any thread. Must return fast and never raise."""

    def __call__(self, event: Event, /) -> None: ...

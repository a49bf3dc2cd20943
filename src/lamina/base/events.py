"""Progress events: one stream, which renderers read.

The kinds and their fields, but for the last two, are those of BuildKit's `SolveStatus`
(`api/services/control/control.proto`), which `--progress=rawjson` prints and the control API sends.
Times are floats: seconds since the epoch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from lamina.base.named_tuple import NamedTuple

if TYPE_CHECKING:
    from lamina.base.digest import Digest
    from lamina.base.location import Location
    from lamina.base.resources import ResourceUsage


class ProgressGroup(NamedTuple):
    """Vertices that are displayed as one."""

    id: str
    name: str
    weak: bool = False


class VertexEvent(NamedTuple):
    """The status of a vertex. A later event for the same digest replaces it.

    A vertex can start and complete several times (BuildKit shows the sum). With `started` and
    without `completed` it is running.
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
    """Output of a vertex's command. `stream` is 1 for stdout, 2 for stderr."""

    vertex: Digest
    stream: int
    data: bytes
    timestamp: float


class WarningEvent(NamedTuple):
    """A warning about a vertex."""

    vertex: Digest
    short: str
    detail: tuple[str, ...] = ()
    url: str = ""
    location: Location | None = None
    level: int = 1


class ReasonEvent(NamedTuple):
    """Why a vertex missed the cache, in one line. BuildKit has no such event."""

    vertex: Digest
    text: str


class ResourceEvent(NamedTuple):
    """The resource usage of a vertex's command, sent when it has ended. BuildKit has no such
    event."""

    vertex: Digest
    usage: ResourceUsage


Event = VertexEvent | StatusEvent | LogEvent | WarningEvent | ReasonEvent | ResourceEvent


class EventSink(Protocol):
    """Receives events from any thread. Must return quickly and never raise."""

    def __call__(self, event: Event, /) -> None: ...

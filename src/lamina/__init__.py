"""lamina builds container images: BuildKit's language and graph, in one process.

The names below are the public Python API, and `__all__` lists them. They are imported when they are
first used, so that `import lamina` is quick.
"""

from __future__ import annotations

TYPE_CHECKING = False  # as in `typing`, whose import would take most of the time

__version__ = "0.1.0"

if TYPE_CHECKING:
    from lamina import aio as aio
    from lamina import frontend as frontend
    from lamina import testing as testing
    from lamina.base.errors import AlreadyExists as AlreadyExists
    from lamina.base.errors import Cancelled as Cancelled
    from lamina.base.errors import CommandFailed as CommandFailed
    from lamina.base.errors import Corrupt as Corrupt
    from lamina.base.errors import Exhausted as Exhausted
    from lamina.base.errors import Internal as Internal
    from lamina.base.errors import InvalidInput as InvalidInput
    from lamina.base.errors import LaminaError as LaminaError
    from lamina.base.errors import NotFound as NotFound
    from lamina.base.errors import PermissionDenied as PermissionDenied
    from lamina.base.errors import Unavailable as Unavailable
    from lamina.base.errors import Unsupported as Unsupported
    from lamina.base.events import Event as Event
    from lamina.base.events import LogEvent as LogEvent
    from lamina.base.events import ReasonEvent as ReasonEvent
    from lamina.base.events import ResourceEvent as ResourceEvent
    from lamina.base.events import StatusEvent as StatusEvent
    from lamina.base.events import VertexEvent as VertexEvent
    from lamina.base.events import WarningEvent as WarningEvent
    from lamina.base.usage import CacheRecord as CacheRecord
    from lamina.builder.bake import BakeOptions as BakeOptions
    from lamina.builder.builder import Builder as Builder
    from lamina.builder.builder import BuildResult as BuildResult
    from lamina.builder.builder import RunningBake as RunningBake
    from lamina.builder.builder import RunningBuild as RunningBuild
    from lamina.builder.builder import connect as connect
    from lamina.builder.containers import CompletedContainer as CompletedContainer
    from lamina.builder.containers import Container as Container
    from lamina.builder.containers import RunOptions as RunOptions
    from lamina.builder.explaining import BuildExplanation as BuildExplanation
    from lamina.builder.explaining import ExplainedStep as ExplainedStep
    from lamina.builder.options import BuildOptions as BuildOptions
    from lamina.builder.rendering import NotebookProgress as NotebookProgress
    from lamina.builder.rendering import terminal_progress as terminal_progress
    from lamina.builder.running import Running as Running
    from lamina.client.contract import ImageSummary as ImageSummary
    from lamina.client.contract import PruneOutcome as PruneOutcome
    from lamina.records.plan import BuildPlan as BuildPlan
    from lamina.records.plan import PlannedStep as PlannedStep
    from lamina.records.rows import RecordRow as RecordRow
    from lamina.solver.planning import Planned as Planned
    from lamina.states.mounts import Mount as Mount
    from lamina.states.mounts import bind as bind
    from lamina.states.mounts import cache as cache
    from lamina.states.mounts import secret as secret
    from lamina.states.mounts import ssh as ssh
    from lamina.states.mounts import tmpfs as tmpfs
    from lamina.states.sources import from_build_file as from_build_file
    from lamina.states.sources import from_dockerfile as from_dockerfile
    from lamina.states.sources import git as git
    from lamina.states.sources import http as http
    from lamina.states.sources import image as image
    from lamina.states.sources import local as local
    from lamina.states.sources import merge as merge
    from lamina.states.sources import oci_layout as oci_layout
    from lamina.states.sources import scratch as scratch
    from lamina.states.state import State as State

_MODULES = {
    "lamina.base.errors": (
        *("AlreadyExists", "Cancelled", "CommandFailed", "Corrupt", "Exhausted", "Internal"),
        *("InvalidInput", "LaminaError", "NotFound", "PermissionDenied", "Unavailable"),
        "Unsupported",
    ),
    "lamina.base.events": (
        *("Event", "LogEvent", "ReasonEvent", "ResourceEvent", "StatusEvent", "VertexEvent"),
        "WarningEvent",
    ),
    "lamina.base.usage": ("CacheRecord",),
    "lamina.builder.bake": ("BakeOptions",),
    "lamina.builder.builder": ("BuildResult", "Builder", "RunningBake", "RunningBuild", "connect"),
    "lamina.builder.containers": ("CompletedContainer", "Container", "RunOptions"),
    "lamina.builder.explaining": ("BuildExplanation", "ExplainedStep"),
    "lamina.builder.options": ("BuildOptions",),
    "lamina.builder.rendering": ("NotebookProgress", "terminal_progress"),
    "lamina.builder.running": ("Running",),
    "lamina.client.contract": ("ImageSummary", "PruneOutcome"),
    "lamina.records.plan": ("BuildPlan", "PlannedStep"),
    "lamina.records.rows": ("RecordRow",),
    "lamina.solver.planning": ("Planned",),
    "lamina.states.mounts": ("Mount", "bind", "cache", "secret", "ssh", "tmpfs"),
    "lamina.states.sources": (
        *("from_build_file", "from_dockerfile", "git", "http", "image", "local", "merge"),
        *("oci_layout", "scratch"),
    ),
    "lamina.states.state": ("State",),
}
_SUBMODULES = ("aio", "frontend", "testing")
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}

__all__ = sorted((*_MODULE_OF, *_SUBMODULES))


def __getattr__(name: str) -> object:
    from importlib import import_module

    if name in _SUBMODULES:
        return import_module(f"lamina.{name}")
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'lamina' has no attribute {name!r}")
    found = getattr(import_module(_MODULE_OF[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return [*__all__, "__version__"]

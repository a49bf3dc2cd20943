"""Workers (BuildKit's `api/types/worker.proto`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.named_tuple import NamedTuple
from lamina.llb import codec
from lamina.llb.op import LLBPlatform
from lamina.wire.fields import boolean, integer, many, mapping, one, string, strings

if TYPE_CHECKING:
    from lamina.wire.protobuf import Schema


class BuildkitVersion(NamedTuple):
    """The version of a builder: the program's package path, its version, and its revision."""

    package: str = ""
    version: str = ""
    revision: str = ""
    dockerfile_version: str = ""


class GCPolicy(NamedTuple):
    """One rule of garbage collection: `keep_duration` in nanoseconds, sizes in bytes.

    `filters` select records; `all` includes records that are normally kept.
    """

    all: bool = False
    keep_duration: int = 0
    reserved_space: int = 0
    filters: tuple[str, ...] = ()
    max_used_space: int = 0
    min_free_space: int = 0


class CDIDevice(NamedTuple):
    name: str = ""
    auto_allow: bool = False
    annotations: tuple[tuple[str, str], ...] = ()
    on_demand: bool = False


class WorkerRecord(NamedTuple):
    id: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    platforms: tuple[LLBPlatform, ...] = ()
    gc_policy: tuple[GCPolicy, ...] = ()
    buildkit_version: BuildkitVersion | None = None
    cdi_devices: tuple[CDIDevice, ...] = ()


SCHEMA: Schema = codec.SCHEMA | {
    BuildkitVersion: (
        string(1, "package"),
        string(2, "version"),
        string(3, "revision"),
        string(4, "dockerfile_version"),
    ),
    GCPolicy: (
        boolean(1, "all"),
        integer(2, "keep_duration"),
        integer(3, "reserved_space"),
        strings(4, "filters"),
        integer(5, "max_used_space"),
        integer(6, "min_free_space"),
    ),
    CDIDevice: (
        string(1, "name"),
        boolean(2, "auto_allow"),
        mapping(3, "annotations"),
        boolean(4, "on_demand"),
    ),
    WorkerRecord: (
        string(1, "id"),
        mapping(2, "labels"),
        many(3, "platforms", LLBPlatform),
        many(4, "gc_policy", GCPolicy),
        one(5, "buildkit_version", BuildkitVersion),
        many(6, "cdi_devices", CDIDevice),
    ),
}

"""The flags of `lamina build` that are options of the Dockerfile frontend."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.cli.flags import Flag

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lamina.cli.flags import Parsed
    from lamina.dockerfile.options import FrontendOptions
    from lamina.llb.op import LinuxResources

_RESOURCES = (
    *(("memory", "m"), ("memory-swap", ""), ("cpu-shares", "c"), ("cpu-period", "")),
    *(("cpu-quota", ""), ("cpuset-cpus", ""), ("cpuset-mems", "")),
)
"""The limits that are flags of `docker build`, and their shorthands."""

FRONTEND_FLAGS = (
    Flag("add-host", "Add a line to /etc/hosts", value="HOST:IP", repeat=True),
    Flag("build-arg", "Set a build argument (ARG)", value="NAME[=VALUE]", repeat=True),
    Flag("cgroup-parent", "Parent cgroup of RUN steps", value="PATH"),
    Flag("label", "Set a label of the image", value="NAME=VALUE", repeat=True),
    Flag(
        "network",
        "Network of RUN steps",
        value="MODE",
        choices=("default", "none", "host"),
        default="default",
    ),
    Flag("no-cache", "Do not use the cache"),
    Flag("no-cache-filter", "Do not use the cache for a stage", value="STAGE", repeat=True),
    Flag(
        "platform",
        "Target platform (default: $DOCKER_DEFAULT_PLATFORM, or that of this machine)",
        value="PLATFORM",
        repeat=True,
    ),
    Flag("pull", "Resolve the tags of base images again"),
    Flag(
        "resource",
        "Limit of RUN steps: memory, memory-swap, cpu-shares, cpu-period, cpu-quota, cpuset-cpus or"
        " cpuset-mems",
        value="NAME=LIMIT",
        repeat=True,
    ),
    Flag("shm-size", "Size of /dev/shm in RUN steps", value="BYTES"),
    Flag("target", "Stage to build", value="STAGE"),
    Flag("ulimit", "Resource limit of RUN steps", value="NAME=SOFT[:HARD]", repeat=True),
    *(
        Flag(name, f"Same as --resource {name}=…", short=short, value="LIMIT")
        for name, short in _RESOURCES
    ),
)


def frontend_options(parsed: Parsed, environ: Mapping[str, str]) -> FrontendOptions:
    """The frontend options of a command line. Raises InvalidInput."""
    from lamina.cli import values
    from lamina.cli.units import parse_size
    from lamina.dockerfile.options import FrontendOptions

    stages = [stage for text in parsed.all("no-cache-filter") for stage in text.split(",")]
    return FrontendOptions(
        target=parsed.text("target"),
        build_args=tuple(values.parse_build_args(parsed.all("build-arg"), environ).items()),
        labels=tuple(dict(map(values.parse_label, parsed.all("label"))).items()),
        no_cache=parsed.switch("no-cache"),
        no_cache_filter=tuple(stage for stage in stages if stage),
        resolve_mode="pull" if parsed.switch("pull") else "",
        platforms=platforms_of(parsed, environ),
        network=parsed.text("network", "default"),
        extra_hosts=tuple(map(values.parse_host, parsed.all("add-host"))),
        shm_size=parse_size(parsed.text("shm-size"), "shm-size") if parsed.given("shm-size") else 0,
        ulimits=tuple(map(values.parse_ulimit, parsed.all("ulimit"))),
        cgroup_parent=parsed.text("cgroup-parent"),
        resources=_resources(parsed),
    )


def platforms_of(parsed: Parsed, environ: Mapping[str, str]) -> tuple[str, ...]:
    """The target platforms, () for that of the builder's machine. Raises InvalidInput."""
    from lamina.cli.values import parse_platforms

    default = environ.get("DOCKER_DEFAULT_PLATFORM", "")
    return parse_platforms(parsed.all("platform") or ([default] if default else ()))


def _resources(parsed: Parsed) -> LinuxResources | None:
    if not any(map(parsed.given, ("resource", *(name for name, _ in _RESOURCES)))):
        return None
    from lamina.cli.resource_limits import parse_resources

    return parse_resources(parsed)

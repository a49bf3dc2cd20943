"""Options of the Dockerfile frontend, and how frontend attributes represent them.

This is the only module that writes or reads these attributes. The names and formats are those of
`docker buildx` and BuildKit's `frontend/dockerui`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput
from lamina.base.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lamina.llb.op import CDIDevice, LinuxResources, Ulimit

Pairs = tuple[tuple[str, str], ...]

_NETWORKS = {"": "default", "sandbox": "default", "none": "none", "host": "host"}
_RESOLVE_MODES = ("", "default", "pull", "local")
_RESOURCES = (
    *(("memory", "memory"), ("memswap", "memory_swap"), ("cpushares", "cpu_shares")),
    *(("cpuperiod", "cpu_period"), ("cpuquota", "cpu_quota")),
    *(("cpusetcpus", "cpuset_cpus"), ("cpusetmems", "cpuset_mems")),
)
"""Attributes, and fields of `LinuxResources`; sets of CPUs come last."""

_CPUSETS = -2
_CPUSET = re.compile(r"\d+(-\d+)?(,\d+(-\d+)?)*\Z")


class FrontendOptions(NamedTuple):
    """The options that change the definition that a Dockerfile is converted to.

    `no_cache` ignores the cache of every step, `no_cache_filter` that of the named stages.
    `resolve_mode` is `default`, `pull` or `local`, "" if the builder decides. `platforms` are the
    target platforms, none for this machine. `network` is `default`, `none` or `host`. `extra_hosts`
    are (name, address). `shm_size` is in bytes, 0 for the default. `cgroup_parent` is the control
    group that steps run below, "" for the builder's own.
    """

    target: str = ""
    build_args: Pairs = ()
    labels: Pairs = ()
    no_cache: bool = False
    no_cache_filter: tuple[str, ...] = ()
    resolve_mode: str = ""
    platforms: tuple[str, ...] = ()
    network: str = "default"
    extra_hosts: Pairs = ()
    shm_size: int = 0
    ulimits: tuple[Ulimit, ...] = ()
    cgroup_parent: str = ""
    hostname: str = ""
    devices: tuple[CDIDevice, ...] = ()
    resources: LinuxResources | None = None


def write_options(options: FrontendOptions) -> dict[str, str]:
    """The attributes of options; those of defaults are left out.

    `devices` are not written: no flag of lamina sets them.
    """
    attributes = {
        **{f"build-arg:{name}": value for name, value in options.build_args},
        **{f"label:{name}": value for name, value in options.labels},
    }
    optional = {
        "target": options.target,
        "platform": ",".join(options.platforms),
        "image-resolve-mode": options.resolve_mode,
        "force-network-mode": "" if options.network == "default" else options.network,
        "add-hosts": _csv_line(f"{name}={address}" for name, address in options.extra_hosts),
        "shm-size": str(options.shm_size or ""),
        "ulimit": _csv_line(f"{limit.name}={limit.soft}:{limit.hard}" for limit in options.ulimits),
        "hostname": options.hostname,
        "cgroup-parent": options.cgroup_parent,
        "no-cache": ",".join(options.no_cache_filter),
    }
    if (limits := options.resources) is not None:
        optional |= {key: str(getattr(limits, field) or "") for key, field in _RESOURCES}
    attributes |= {key: value for key, value in optional.items() if value}
    if options.no_cache:
        attributes["no-cache"] = ""
    return attributes


def read_options(attrs: Mapping[str, str]) -> FrontendOptions:
    """The options that attributes set. Raises InvalidInput."""
    no_cache = attrs.get("no-cache")
    return FrontendOptions(
        target=attrs.get("target", ""),
        build_args=prefixed(attrs, "build-arg:"),
        labels=prefixed(attrs, "label:"),
        no_cache=no_cache == "",
        no_cache_filter=tuple(no_cache.split(",")) if no_cache else (),
        resolve_mode=_resolve_mode(attrs.get("image-resolve-mode", "")),
        platforms=tuple(filter(None, attrs.get("platform", "").split(","))),
        network=_network(attrs.get("force-network-mode", "")),
        extra_hosts=_hosts(attrs.get("add-hosts", "")),
        shm_size=_number("shm-size", attrs.get("shm-size", "") or "0"),
        ulimits=tuple(map(_ulimit, _csv_fields(attrs.get("ulimit", "")))),
        cgroup_parent=attrs.get("cgroup-parent", ""),
        hostname=attrs.get("hostname", ""),
        devices=_devices(attrs.get("devices", "")),
        resources=_resources(attrs),
    )


def prefixed(attrs: Mapping[str, str], prefix: str) -> Pairs:
    """The attributes of a prefix, without it, in order."""
    return tuple(
        sorted((key[len(prefix) :], attrs[key]) for key in attrs if key.startswith(prefix))
    )


def _number(name: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise InvalidInput(f"invalid {name} value: {text}") from None


def _network(text: str) -> str:
    if text not in _NETWORKS:
        raise InvalidInput(f"invalid netmode {text}")
    return _NETWORKS[text]


def _resolve_mode(text: str) -> str:
    if text not in _RESOLVE_MODES:
        raise InvalidInput(f"invalid image-resolve-mode: {text}")
    return text


def _csv_line(fields: Iterable[str]) -> str:
    return ",".join(
        '"' + field.replace('"', '""') + '"' if set(field) & set(',"\n\r') else field
        for field in fields
    )


def _csv_fields(text: str) -> list[str]:
    if '"' not in text:
        return text.split(",") if text else []
    import csv

    try:
        return next(csv.reader([text], strict=True)) if text else []
    except csv.Error as error:
        raise InvalidInput(f"malformed CSV {text}: {error}") from error


def _hosts(text: str) -> Pairs:
    if not text:
        return ()
    import ipaddress

    found = []
    for field in _csv_fields(text):
        name, equals, address = field.lower().partition("=")
        if not equals:
            raise InvalidInput(f"invalid key-value pair {field}")
        try:
            found.append((name, str(ipaddress.ip_address(address))))
        except ValueError:
            raise InvalidInput(f"failed to parse IP {address}") from None
    return tuple(found)


def _ulimit(text: str) -> Ulimit:
    from lamina.llb.op import Ulimit

    name, equals, limits = text.partition("=")
    soft, colon, hard = limits.partition(":")
    if not equals:
        raise InvalidInput(f"invalid ulimit argument: {text}")
    low = _number("ulimit", soft)
    return Ulimit(name, low, _number("ulimit", hard) if colon else low)


def _devices(text: str) -> tuple[CDIDevice, ...]:
    from lamina.llb.op import CDIDevice

    return tuple(CDIDevice(name) for name in _csv_fields(text))


def _resources(attrs: Mapping[str, str]) -> LinuxResources | None:
    from lamina.llb.op import LinuxResources

    found: dict[str, int] = {}
    for key, field in _RESOURCES[:_CPUSETS]:
        if text := attrs.get(key, ""):
            number = _number(key, text)
            if number <= 0 and not (key == "memswap" and number == -1):
                raise InvalidInput(f"invalid {key} value: {text}: must be > 0")
            found[field] = number
    for key in ("cpusetcpus", "cpusetmems"):
        if attrs.get(key) and not _CPUSET.match(attrs[key]):
            raise InvalidInput(f"invalid {key} value: {attrs[key]}")
    resources = LinuxResources(
        **found, cpuset_cpus=attrs.get("cpusetcpus", ""), cpuset_mems=attrs.get("cpusetmems", "")
    )
    return resources if any(resources) else None

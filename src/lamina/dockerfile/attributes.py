"""The Dockerfile frontend's attributes, as clients of BuildKit's API write them.

They are a map of strings: `filename`, `target`, `platform`, `build-arg:NAME`, `label:NAME`,
`context:NAME`, … (BuildKit's `frontend/dockerui`).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lamina.base.booleans import parse_bool
from lamina.base.errors import InvalidInput, MissingCapability
from lamina.base.named_tuple import NamedTuple
from lamina.base.platform import host_platform, parse_platform
from lamina.dockerfile.contract import FrontendRequest
from lamina.llb.op import CDIDevice, LinuxResources, Ulimit

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lamina.base.platform import Platform

_CAPABILITIES = frozenset(
    f"moby.buildkit.frontend.{name}"
    for name in ("inputs", "subrequests", "contexts", "gitquerystring")
)
_NETWORKS = {"": "default", "sandbox": "default", "none": "none", "host": "host"}
_CPUSET = re.compile(r"\d+(-\d+)?(,\d+(-\d+)?)*\Z")


class DockerfileOptions(NamedTuple):
    """What the attributes ask for.

    `request` is for the first platform; its contexts are not filled in. `several` is set when
    the result belongs in an index. `contexts` are (name, address); `folder_sessions` say which
    session lends a local folder, if not the build's own; `subrequest` is a question to answer
    instead of building.
    """

    request: FrontendRequest
    platforms: tuple[Platform, ...]
    several: bool
    filename: str = "Dockerfile"
    dockerfile_key: str = ""
    context: str = ""
    context_subdir: str = ""
    keep_git_dir: bool = False
    contexts: tuple[tuple[str, str], ...] = ()
    shared_keys: tuple[tuple[str, str], ...] = ()
    folder_sessions: tuple[tuple[str, str], ...] = ()
    input_metadata: tuple[tuple[str, str], ...] = ()
    resolve_mode: str = ""
    syntax: str = ""
    subrequest: str = ""
    cache_imports: tuple[dict[str, str], ...] = ()

    def requests(self) -> tuple[FrontendRequest, ...]:
        """One for each platform."""
        return tuple(self.request._replace(platform=platform) for platform in self.platforms)


def is_several(
    platforms: int, build_args: Iterable[tuple[str, str]], multi_platform: str = ""
) -> bool:
    """Whether a result is one of several platforms, even if it has but one. Raises InvalidInput."""
    wanted = dict(build_args).get("BUILDKIT_MULTI_PLATFORM") or multi_platform
    if not wanted:
        return platforms > 1
    chosen = _boolean("multi-platform", wanted)
    if platforms > 1 and not chosen:
        raise InvalidInput("conflicting config: returning multiple target platforms is not allowed")
    return chosen


def read_attributes(attrs: Mapping[str, str]) -> DockerfileOptions:
    """Raises InvalidInput, Unsupported, MissingCapability."""
    _check_capabilities(attrs.get("frontend.caps", ""))
    build_args = _prefixed(attrs, "build-arg:")
    args = dict(build_args)
    platforms = tuple(map(parse_platform, filter(None, attrs.get("platform", "").split(","))))
    several = is_several(len(platforms), build_args, attrs.get("multi-platform", ""))
    here = host_platform()
    no_cache = attrs.get("no-cache")
    request = FrontendRequest(
        target=attrs.get("target", ""),
        build_args=build_args,
        labels=_prefixed(attrs, "label:"),
        platform=platforms[0] if platforms else here,
        build_platform=here,
        no_cache=no_cache == "",
        no_cache_stages=tuple(no_cache.split(",")) if no_cache else (),
        network=_network(attrs.get("force-network-mode", "")),
        extra_hosts=_hosts(attrs.get("add-hosts", "")),
        shm_size=_number("shm-size", attrs.get("shm-size", "") or "0"),
        ulimits=tuple(map(_ulimit, _fields(attrs.get("ulimit", "")))),
        hostname=attrs.get("hostname", ""),
        cgroup_parent=attrs.get("cgroup-parent", ""),
        platform_given=bool(platforms),
        devices=tuple(CDIDevice(name) for name in _fields(attrs.get("devices", ""))),
        resources=_resources(attrs),
        several=several,
    )
    mode = attrs.get("image-resolve-mode", "")
    if mode not in ("", "default", "pull", "local"):
        raise InvalidInput(f"invalid image-resolve-mode: {mode}")
    return DockerfileOptions(
        request=request,
        platforms=platforms or (here,),
        several=several,
        filename=attrs.get("filename") or "Dockerfile",
        dockerfile_key=attrs.get("dockerfilekey", ""),
        context=attrs.get(attrs.get("contextkey", "context"), ""),
        context_subdir=attrs.get("contextsubdir", ""),
        keep_git_dir=bool(parse_bool(args.get("BUILDKIT_CONTEXT_KEEP_GIT_DIR", ""))),
        contexts=_prefixed(attrs, "context:"),
        shared_keys=_prefixed(attrs, "sharedkey:localdir:"),
        folder_sessions=_prefixed(attrs, "local-sessionid:"),
        input_metadata=_prefixed(attrs, "input-metadata:"),
        resolve_mode=mode,
        syntax="" if "cmdline" in attrs else args.get("BUILDKIT_SYNTAX", ""),
        subrequest=attrs.get("requestid", ""),
        cache_imports=_cache_imports(attrs),
    )


def _cache_imports(attrs: Mapping[str, str]) -> tuple[dict[str, str], ...]:
    """Caches to read, each as pairs with its `type`; Go's names of fields are capitals."""
    found = [{"type": "registry", "ref": ref} for ref in attrs.get("cache-from", "").split(",")]
    found = [pairs for pairs in found if pairs["ref"]]
    text = attrs.get("cache-imports", "")
    if text:
        import json

        try:
            for entry in json.loads(text):
                pairs = {"type": entry["Type"], **(entry.get("Attrs") or {})}
                if not all(isinstance(value, str) for value in pairs.values()):
                    raise TypeError("a value is not text")
                found.append(pairs)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InvalidInput(f"failed to unmarshal cache-imports ({text}): {error}") from error
    return tuple(found)


def _check_capabilities(text: str) -> None:
    for word in filter(None, text.split(",")):
        name = word.partition("+")[0]
        if name not in _CAPABILITIES:
            raise MissingCapability(name)


def _prefixed(attrs: Mapping[str, str], prefix: str) -> tuple[tuple[str, str], ...]:
    return tuple(
        sorted((key[len(prefix) :], attrs[key]) for key in attrs if key.startswith(prefix))
    )


def _boolean(name: str, text: str) -> bool:
    chosen = parse_bool(text)
    if chosen is None:
        raise InvalidInput(f"invalid boolean value for {name}: {text}")
    return chosen


def _number(name: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise InvalidInput(f"invalid {name} value: {text}") from None


def _network(text: str) -> str:
    if text not in _NETWORKS:
        raise InvalidInput(f"invalid netmode {text}")
    return _NETWORKS[text]


def _fields(text: str) -> list[str]:
    """One line of CSV."""
    if '"' not in text:
        return text.split(",") if text else []
    import csv

    try:
        return next(csv.reader([text], strict=True)) if text else []
    except csv.Error as error:
        raise InvalidInput(f"malformed CSV {text}: {error}") from error


def _hosts(text: str) -> tuple[tuple[str, str], ...]:
    if not text:
        return ()
    import ipaddress

    found = []
    for field in _fields(text):
        name, equals, address = field.lower().partition("=")
        if not equals:
            raise InvalidInput(f"invalid key-value pair {field}")
        try:
            found.append((name, str(ipaddress.ip_address(address))))
        except ValueError:
            raise InvalidInput(f"failed to parse IP {address}") from None
    return tuple(found)


def _ulimit(text: str) -> Ulimit:
    name, equals, limits = text.partition("=")
    soft, colon, hard = limits.partition(":")
    if not equals:
        raise InvalidInput(f"invalid ulimit argument: {text}")
    low = _number("ulimit", soft)
    return Ulimit(name, low, _number("ulimit", hard) if colon else low)


def _resources(attrs: Mapping[str, str]) -> LinuxResources | None:
    found: dict[str, int] = {}
    for key, field in (
        ("memory", "memory"),
        ("memswap", "memory_swap"),
        ("cpushares", "cpu_shares"),
        ("cpuperiod", "cpu_period"),
        ("cpuquota", "cpu_quota"),
    ):
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

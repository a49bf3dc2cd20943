"""Devices of the machine, described by Container Device Interface files (CDI 1.0).

A driver's installer writes a file to one of a few directories. For each device, it lists the edits
that add the device to a container. Files in later directories take precedence. A device that two
files of one directory describe is ignored.
"""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING, Any

from lamina.base.booleans import parse_bool
from lamina.base.errors import InvalidInput
from lamina.base.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

SPEC_DIRS = ("/etc/cdi", "/var/run/cdi", "/etc/buildkit/cdi")
_SUFFIXES = (".json", ".yaml", ".yml")
_KIND = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*/[A-Za-z][A-Za-z0-9_-]*")
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.:-]*[A-Za-z0-9])?")
_HOOKS = (
    *("prestart", "createRuntime", "createContainer"),
    *("startContainer", "poststart", "poststop"),
)
_LIMIT = 16 << 20
_CLASS = "org.mobyproject.buildkit.device.class"
_AUTO_ALLOW = "org.mobyproject.buildkit.device.autoallow"


class DeviceNode(NamedTuple):
    """A node at `path` in the container. Fields that are None or "" are those of the host's node
    `host_path`. `permissions` are the allowed accesses: read, write, mknod (`rwm`)."""

    path: str
    host_path: str = ""
    kind: str = ""
    major: int | None = None
    minor: int | None = None
    mode: int | None = None
    permissions: str = ""
    uid: int | None = None
    gid: int | None = None


class DeviceMount(NamedTuple):
    source: str
    target: str
    options: tuple[str, ...] = ()
    kind: str = ""


class Hook(NamedTuple):
    """A program of the host that the runtime starts at `moment` in the container's life cycle."""

    moment: str
    path: str
    args: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    timeout: int | None = None


class ContainerEdits(NamedTuple):
    """The edits of a container that add a device."""

    env: tuple[str, ...] = ()
    nodes: tuple[DeviceNode, ...] = ()
    mounts: tuple[DeviceMount, ...] = ()
    hooks: tuple[Hook, ...] = ()
    groups: tuple[int, ...] = ()


class Device(NamedTuple):
    """`name` is `vendor/class=name`. `edits` are those of all of its file's devices, then its
    own."""

    name: str
    annotations: Mapping[str, str]
    edits: tuple[ContainerEdits, ...]

    @property
    def kind(self) -> str:
        return self.name.partition("=")[0]


class DeviceRegistry:
    """The devices that the files in some directories describe. Every call reads the files again.

    Args:
        auto_allowed: kinds (`vendor/class`) or devices that every build may use.
    """

    def __init__(
        self, folders: Sequence[str] = SPEC_DIRS, auto_allowed: Iterable[str] = ()
    ) -> None:
        self._folders = tuple(folders)
        self._auto_allowed = frozenset(auto_allowed)

    def devices(self) -> dict[str, Device]:
        """All devices by name, in order. Malformed files are ignored."""
        return self._read()[0]

    def find(self, wanted: str) -> list[Device]:
        """The devices of a name: one device, the first of a kind (`vendor/class`), all of a kind
        (`kind=*`), or those whose annotations have that class. Empty if there is none.
        """
        known = self.devices()
        kind, _, name = wanted.partition("=")
        if _KIND.fullmatch(kind):
            of_kind = [device for device in known.values() if device.kind == kind]
            found = {"": of_kind[:1], "*": of_kind}.get(name)
            if found is None:
                found = [known[wanted]] if wanted in known else []
            if found:
                return found
        return [d for d in known.values() if d.annotations.get(_CLASS) == wanted]

    def allows_all(self, device: Device) -> bool:
        """Whether every build may use the device, without an entitlement."""
        annotated = parse_bool(device.annotations.get(_AUTO_ALLOW, ""))
        return bool(annotated) or not self._auto_allowed.isdisjoint((device.name, device.kind))

    def damage(self) -> list[str]:
        """Why files are ignored."""
        return self._read()[1]

    def _read(self) -> tuple[dict[str, Device], list[str]]:
        found: dict[str, Device] = {}
        damage: list[str] = []
        for folder in self._folders:
            here: dict[str, Device | None] = {}
            for path in _spec_files(folder):
                try:
                    devices = read_spec(path)
                except InvalidInput as error:
                    damage.append(error.reason)
                    continue
                for device in devices:
                    twice = device.name in here
                    here[device.name] = None if twice else device
                    if twice:
                        damage.append(f"{folder}: two files describe {device.name}")
            for name, described in here.items():
                found.pop(name, None)
                if described is not None:
                    found[name] = described
        return {name: found[name] for name in sorted(found)}, damage


def _spec_files(folder: str) -> list[str]:
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return []
    return [os.path.join(folder, name) for name in names if name.endswith(_SUFFIXES)]


def read_spec(path: str) -> list[Device]:
    """The devices that one file describes. Raises InvalidInput."""
    try:
        with open(path, "rb") as file:
            data = file.read(_LIMIT)
        return _spec(_parse(path, data))
    except OSError as error:
        raise InvalidInput(f"{path}: {error.strerror}") from error
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        cause = f"no {error}" if isinstance(error, KeyError) else error
        raise InvalidInput(f"{path} is not a CDI spec: {cause}") from error


def _parse(path: str, data: bytes) -> Any:
    if path.endswith(".json"):
        return json.loads(data)
    import yaml

    try:
        return yaml.safe_load(data)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error


def _spec(document: Any) -> list[Device]:
    kind = str(document["kind"])
    if _KIND.fullmatch(kind) is None:
        raise ValueError(f'"{kind}" is not vendor/class')
    common = _edits(document.get("containerEdits") or {})
    shared = _annotations(document)
    devices = []
    for entry in document["devices"]:
        name = str(entry["name"])
        if _NAME.fullmatch(name) is None:
            raise ValueError(f'"{name}" is not the name of a device')
        own = _edits(entry.get("containerEdits") or {})
        devices.append(Device(f"{kind}={name}", {**shared, **_annotations(entry)}, (common, own)))
    return devices


def _annotations(entry: Any) -> dict[str, str]:
    # YAML has truth values where the specification means text.
    return {
        str(key): json.dumps(value) if isinstance(value, bool) else str(value)
        for key, value in (entry.get("annotations") or {}).items()
    }


def _edits(entry: Any) -> ContainerEdits:
    if entry.get("netDevices"):
        raise ValueError("network devices are not supported")
    env = _texts(entry.get("env"))
    for variable in env:
        if not variable.partition("=")[0] or "=" not in variable:
            raise ValueError(f'"{variable}" is not NAME=value')
    return ContainerEdits(
        env,
        tuple(_node(node) for node in entry.get("deviceNodes") or ()),
        tuple(_mount(mount) for mount in entry.get("mounts") or ()),
        tuple(_hook(hook) for hook in entry.get("hooks") or ()),
        tuple(_number(group) for group in entry.get("additionalGids") or ()),
    )


def _node(entry: Any) -> DeviceNode:
    kind, permissions = str(entry.get("type") or ""), str(entry.get("permissions") or "")
    if kind not in ("", "b", "c", "u", "p"):
        raise ValueError(f'a device cannot be of type "{kind}"')
    if set(permissions) - set("rwm"):
        raise ValueError(f'"{permissions}" are not permissions for a device')

    def number(key: str) -> int | None:
        return None if entry.get(key) is None else _number(entry[key])

    return DeviceNode(
        _absolute(entry["path"]),
        _absolute(entry["hostPath"]) if entry.get("hostPath") else "",
        kind,
        number("major") or None,
        number("minor"),
        number("fileMode"),
        permissions,
        number("uid"),
        number("gid"),
    )


def _mount(entry: Any) -> DeviceMount:
    return DeviceMount(
        str(entry["hostPath"]),
        _absolute(entry["containerPath"]),
        _texts(entry.get("options")),
        str(entry.get("type") or ""),
    )


def _hook(entry: Any) -> Hook:
    moment = str(entry["hookName"])
    if moment not in _HOOKS:
        raise ValueError(f'there is no hook "{moment}"')
    timeout = entry.get("timeout")
    return Hook(
        moment,
        _absolute(entry["path"]),
        _texts(entry.get("args")),
        _texts(entry.get("env")),
        None if timeout is None else _number(timeout),
    )


def _texts(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        raise ValueError(f'"{value}" is not a list')
    return tuple(str(item) for item in value or ())


def _absolute(value: Any) -> str:
    path = str(value)
    if not path.startswith("/") or "\0" in path:
        raise ValueError(f'"{path}" is not an absolute path')
    return path


def _number(value: Any) -> int:
    # YAML 1.1 takes 0o640 for text.
    number = int(value, 0) if isinstance(value, str) else int(value)
    if not 0 <= number < 1 << 32:
        raise ValueError(f"{number} is out of range")
    return number

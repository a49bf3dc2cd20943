"""Edits of a container's spec for devices (OCI runtime spec, `config-linux.md`)."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Any

from lamina.base.errors import NotFound, Unsupported

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lamina.runtime.cdi import ContainerEdits, DeviceMount, DeviceNode, Hook

_KINDS = {stat.S_IFBLK: "b", stat.S_IFCHR: "c", stat.S_IFIFO: "p"}


def apply_edits(spec: dict[str, Any], edits: Iterable[ContainerEdits]) -> None:
    """Add devices to a spec.

    Raises NotFound (the machine has no such node), Unsupported (the node is no device).
    """
    process, linux = spec["process"], spec["linux"]
    for edit in edits:
        _add_env(process["env"], edit.env)
        for node in edit.nodes:
            device = _device(node, process["user"])
            linux["devices"] = [d for d in linux.get("devices", ()) if d["path"] != node.path]
            linux["devices"].append(device)
            if device["type"] in ("b", "c"):
                rule = {key: device[key] for key in ("type", "major", "minor")}
                access = node.permissions or "rwm"
                rules = linux["resources"].setdefault("devices", [])
                rules.append({"allow": True, **rule, "access": access})
        targets = {mount.target for mount in edit.mounts}
        kept = [mount for mount in spec["mounts"] if mount["destination"] not in targets]
        spec["mounts"] = [*kept, *map(_mount, edit.mounts)]
        for hook in edit.hooks:
            spec.setdefault("hooks", {}).setdefault(hook.moment, []).append(_hook(hook))
        groups = process["user"]["additionalGids"]
        groups.extend(group for group in edit.groups if group not in groups)


def mount_points_of(edits: Iterable[ContainerEdits]) -> list[str]:
    """The paths in the container that a runtime creates for devices."""
    return [
        path
        for edit in edits
        for path in (*(node.path for node in edit.nodes), *(m.target for m in edit.mounts))
    ]


def _add_env(env: list[str], added: Iterable[str]) -> None:
    for variable in added:
        name = variable.partition("=")[0] + "="
        env[:] = [entry for entry in env if not entry.startswith(name)]
        env.append(variable)


def _device(node: DeviceNode, user: dict[str, Any]) -> dict[str, Any]:
    path = node.host_path or node.path
    kind, major, minor = node.kind, node.major, node.minor
    mode = node.mode
    if not kind or (kind != "p" and major is None):
        try:
            status = os.stat(path)
        except OSError as error:
            raise NotFound(
                f"the device {path} does not exist: {error.strerror}",
                hint="is its driver installed and loaded?",
            ) from error
        found = _KINDS.get(stat.S_IFMT(status.st_mode), "")
        if not found or kind not in ("", found, "u"):
            raise Unsupported(f"{path} is not a device of the type in its CDI spec")
        kind = kind or found
        if kind != "p":
            major, minor = os.major(status.st_rdev), os.minor(status.st_rdev)
        if mode is None:
            mode = stat.S_IMODE(status.st_mode)
    device: dict[str, Any] = {"path": node.path, "type": kind}
    if kind != "p":
        device |= {"major": major, "minor": minor or 0}
    if mode is not None:
        device["fileMode"] = mode & 0o7777
    for key, own in (("uid", node.uid), ("gid", node.gid)):
        # A step that is not root gets a node whose owner the CDI file does not set.
        owner = own if own is not None else user[key]
        if owner:
            device[key] = owner
    return device


def _mount(mount: DeviceMount) -> dict[str, Any]:
    options = list(mount.options)
    kind = mount.kind or "bind"
    if kind == "bind" and not {"bind", "rbind"} & set(options):
        options.insert(0, "rbind")
    return {
        "destination": mount.target,
        "type": kind,
        "source": mount.source,
        "options": options,
    }


def _hook(hook: Hook) -> dict[str, Any]:
    found: dict[str, Any] = {"path": hook.path}
    if hook.args:
        found["args"] = list(hook.args)
    if hook.env:
        found["env"] = list(hook.env)
    if hook.timeout is not None:
        found["timeout"] = hook.timeout
    return found

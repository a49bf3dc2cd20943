"""A request of this process's own as the call of a frontend that it amounts to, for provenance."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

from lamina.attest.contract import FrontendCall

if TYPE_CHECKING:
    from lamina.client.contract import BuildRequest

_TIMEOUT = 10


def invocation_of(request: BuildRequest) -> FrontendCall:
    """The attributes are those that buildx would send, those of version control among them."""
    options, context = request.frontend, request.context
    attrs = {"filename": os.path.basename(context.dockerfile) or "Dockerfile"}
    attrs.update((f"build-arg:{name}", value) for name, value in options.build_args)
    attrs.update((f"label:{name}", value) for name, value in options.labels)
    if options.target:
        attrs["target"] = options.target
    if options.no_cache:
        attrs["no-cache"] = ""
    elif options.no_cache_filter:
        attrs["no-cache"] = ",".join(options.no_cache_filter)
    if options.network != "default":
        attrs["force-network-mode"] = options.network
    if options.extra_hosts:
        attrs["add-hosts"] = ",".join(f"{name}={address}" for name, address in options.extra_hosts)
    if options.shm_size:
        attrs["shm-size"] = str(options.shm_size)
    if options.ulimits:
        attrs["ulimit"] = ",".join(f"{u.name}={u.soft}:{u.hard}" for u in options.ulimits)
    if options.cgroup_parent:
        attrs["cgroup-parent"] = options.cgroup_parent
    for named in context.named:
        local = named.kind == "local"
        value = f"local:{named.folder_name}" if local else f"{named.kind}://{named.value}"
        attrs[f"context:{named.name}"] = value
    return FrontendCall("dockerfile.v0", {**attrs, **_version_control(request)})


def _version_control(request: BuildRequest) -> dict[str, str]:
    """The commit and the remote of the context's repository, if it lies in one."""
    folder = request.context.path
    if not folder or os.environ.get("BUILDX_GIT_INFO", "1").lower() in ("0", "f", "false"):
        return {}
    root = _git(folder, "rev-parse", "--show-toplevel")
    if not root:
        return {}
    found = {
        "vcs:revision": _git(folder, "rev-parse", "HEAD"),
        "vcs:source": _git(folder, "remote", "get-url", "origin"),
    }
    dockerfile = os.path.dirname(request.context.dockerfile) or folder
    for name, path in (("context", folder), ("dockerfile", dockerfile)):
        relative = os.path.relpath(os.path.realpath(path), os.path.realpath(root))
        if not relative.startswith(".."):
            found[f"vcs:localdir:{name}"] = relative
    return {key: value for key, value in found.items() if value}


def _git(folder: str, *words: str) -> str:
    """What git says, "" if it fails or is not there."""
    try:
        done = subprocess.run(
            ["git", "-C", folder, *words], capture_output=True, timeout=_TIMEOUT, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode(errors="replace").strip() if done.returncode == 0 else ""

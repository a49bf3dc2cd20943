"""Frontend attributes with the commit of a context, for provenance."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lamina.client.contract import BuildRequest

_TIMEOUT = 10


def version_control_attributes(request: BuildRequest) -> dict[str, str]:
    """The commit and the remote of the context's repository, if it is in one."""
    folder = request.context.path
    if not folder or os.environ.get("BUILDX_GIT_INFO", "1").lower() in ("0", "f", "false"):
        return {}
    root = top_of(folder)
    if not root:
        return {}
    found = {
        "vcs:revision": _git(folder, "rev-parse", "HEAD"),
        "vcs:source": remote_of(folder),
    }
    dockerfile = os.path.dirname(request.context.dockerfile) or folder
    for name, path in (("context", folder), ("dockerfile", dockerfile)):
        relative = os.path.relpath(os.path.realpath(path), os.path.realpath(root))
        if not relative.startswith(".."):
            found[f"vcs:localdir:{name}"] = relative
    return {key: value for key, value in found.items() if value}


def top_of(folder: str) -> str:
    """The top directory of the work tree that contains a directory, "" if there is none."""
    return _git(folder, "rev-parse", "--show-toplevel")


def remote_of(folder: str) -> str:
    """The URL of the remote `origin` of a directory's repository, "" if there is none."""
    return _git(folder, "remote", "get-url", "origin")


def _git(folder: str, *words: str) -> str:
    """The output of git, "" if it fails or is missing."""
    try:
        done = subprocess.run(
            ["git", "-C", folder, *words], capture_output=True, timeout=_TIMEOUT, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode(errors="replace").strip() if done.returncode == 0 else ""

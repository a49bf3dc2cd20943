"""`lamina info`: this installation and its default store."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from lamina import __version__
from lamina.base.buildkit_version import BUILDKIT_VERSION, BUILDX_VERSION
from lamina.cli.opening import chosen_builder
from lamina.cli.tables import chosen_format, is_template, print_text, tab_separated

if TYPE_CHECKING:
    from lamina.cli.flags import Parsed


def run(parsed: Parsed) -> int:
    """Print what a report of a problem needs."""
    form = chosen_format(parsed, "pretty", "json")
    found = _found(parsed)
    if form == "json":
        import json

        print(json.dumps(found, indent=2))
    elif is_template(form):
        from lamina.base.go_template import GoTemplate, Struct

        print_text(GoTemplate(form).render(Struct(found)))
    else:
        shown = {
            name: ", ".join(value) if isinstance(value, list) else value
            for name, value in found.items()
        }
        print(tab_separated(f"{_TITLES[name]}:\t{value}" for name, value in shown.items()))
    return 0


_TITLES = {
    "Version": "Version",
    "BuildKit": "BuildKit API",
    "Buildx": "Buildx commands",
    "Python": "Python",
    "Kernel": "Kernel",
    "Platforms": "Platforms",
    "Runtime": "OCI runtime",
    "Builder": "Builder",
    "Driver": "Driver",
    "Endpoints": "Endpoints",
    "Images": "Images",
    "CacheRecords": "Cache records",
    "DockerPlugin": "Docker plugin",
}


def _found(parsed: Parsed) -> dict[str, Any]:
    from lamina.cli.plugin_installation import Installation
    from lamina.exporters.docker_host import docker_folder
    from lamina.runtime.emulation import platforms_here

    group = chosen_builder(parsed)
    system = os.uname()
    found: dict[str, Any] = {
        "Version": __version__,
        "BuildKit": BUILDKIT_VERSION,
        "Buildx": BUILDX_VERSION,
        "Python": ".".join(map(str, sys.version_info[:3])),
        "Kernel": f"{system.sysname} {system.release}",
        "Platforms": list(map(str, platforms_here())),
        "Runtime": _runtime(),
        "Builder": group.name,
        "Driver": group.driver,
        "Endpoints": [node.endpoint for node in group.nodes],
    }
    root = group.nodes[0].endpoint
    if group.embedded and os.path.isdir(root):
        from lamina.base.usage import UsageFilter
        from lamina.client.embedded import open_builder

        with open_builder(root) as store:
            found["Images"] = len(store.images())
            found["CacheRecords"] = len(store.disk_usage(UsageFilter()))
    installation = Installation(docker_folder(os.environ))
    found["DockerPlugin"] = installation.program if installation.installed else "not installed"
    return found


def _runtime() -> str:
    """The runtime that runs steps, "none" if no runtime is installed."""
    from lamina.base.errors import NotFound
    from lamina.runtime.binary import find_runtime
    from lamina.system.user_namespace import IdMap, current_ids

    # Without root privileges, steps run in a user namespace.
    ids = current_ids() or (IdMap((), ()) if os.geteuid() else None)
    try:
        return find_runtime(ids=ids)
    except NotFound:
        return "none"

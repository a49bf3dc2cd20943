"""Outputs that load images into a running Docker or Podman, by flags and by default.

With `LAMINA_LOAD=auto` images are loaded if Docker or Podman runs, and stored otherwise. The Docker
CLI plugin sets it, so that `docker build` makes an image that `docker run` finds.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from lamina.base.booleans import parse_bool
from lamina.base.errors import NotFound
from lamina.client.builders.node_group import DEFAULT
from lamina.client.contract import OutputSpec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lamina.client.builders.node_group import NodeGroup

_VARIABLE, _AUTO = "LAMINA_LOAD", "auto"
_LOAD = OutputSpec("docker")


def loads(output: OutputSpec) -> bool:
    """Whether an output is loaded into a running Docker or Podman."""
    return output.type == _LOAD.type and not dict(output.attributes).get("dest")


def with_loading(
    outputs: Sequence[OutputSpec], platforms: Sequence[str], group: NodeGroup
) -> tuple[OutputSpec, ...]:
    """The outputs of a build with a builder, with what is loaded by default.

    An image for several platforms is not loaded by default. Raises InvalidInput.
    """
    auto = os.environ.get(_VARIABLE) == _AUTO
    if not outputs:
        wanted = _default_load(group) or (auto and group.name == DEFAULT and _runs())
        return (_LOAD,) if wanted and len(platforms) < 2 else ()
    if not auto or not any(map(loads, outputs)) or _runs():
        return tuple(outputs)
    print(
        "WARNING: no Docker or Podman runs, so the image is only in lamina's store", file=sys.stderr
    )
    return tuple(_stored(output) if loads(output) else output for output in outputs)


def _default_load(group: NodeGroup) -> bool:
    return any(parse_bool(dict(node.options).get("default-load", "")) for node in group.nodes)


def _runs() -> bool:
    """Whether Docker or Podman runs: a named socket exists, or an address is named."""
    from lamina.exporters.docker_host import find_docker_host

    try:
        host = find_docker_host(os.environ)
    except NotFound:
        return False
    return not host.path or os.path.exists(host.path)


def _stored(output: OutputSpec) -> OutputSpec:
    kept = tuple(pair for pair in output.attributes if pair[0] not in ("dest", "context"))
    return OutputSpec("image", kept)

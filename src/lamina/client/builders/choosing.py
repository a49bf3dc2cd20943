"""Finds a builder by its name, and the one that commands use if none is named."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.errors import NotFound, Unsupported
from lamina.client.builders.builder_files import BuilderFiles
from lamina.client.builders.node_group import (
    DEFAULT,
    EMBEDDED,
    IN_DOCKER,
    REMOTE,
    Node,
    NodeGroup,
)

if TYPE_CHECKING:
    from collections.abc import Mapping


def default_builder(root: str) -> NodeGroup:
    """The builder in this process, with the store in the directory `root`."""
    return NodeGroup(DEFAULT, EMBEDDED, (Node(DEFAULT, root),))


def find_builder(name: str, root: str, environ: Mapping[str, str]) -> NodeGroup:
    """A builder by its name.

    Args:
        root: the store of builders that have none of their own.

    Raises NotFound, Unsupported (its driver), InvalidInput, Corrupt.
    """
    if name == DEFAULT:
        return default_builder(root)
    group = BuilderFiles(environ).find(name)
    if group is None:
        raise NotFound(f'there is no builder "{name}"', hint="`lamina ls` lists the builders")
    return usable(group, root)


def current_builder(root: str, environ: Mapping[str, str]) -> NodeGroup:
    """The builder that `lamina use` or `docker buildx use` has chosen, else the default one.

    Also the default one if that builder has been removed, or has a driver that lamina does not
    have. Raises Corrupt.
    """
    files = BuilderFiles(environ)
    name = files.current()
    group = files.find(name) if name else None
    if group is None:
        return default_builder(root)
    try:
        return usable(group, root)
    except Unsupported:
        return default_builder(root)


def usable(group: NodeGroup, root: str) -> NodeGroup:
    """A builder as it is used: BuildKit in Docker is replaced by this process.

    Raises Unsupported for other drivers.
    """
    if group.driver in (EMBEDDED, REMOTE):
        return group
    if group.driver in IN_DOCKER:
        return group._replace(nodes=tuple(node._replace(endpoint=root) for node in group.nodes))
    raise Unsupported(
        f'builder {group.name} has the driver "{group.driver}", which lamina does not have',
        hint=f"create a builder with --driver {EMBEDDED} or --driver {REMOTE}",
    )

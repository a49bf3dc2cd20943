"""Named builders and their nodes as values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.errors import AlreadyExists, InvalidInput, NotFound
from lamina.base.named_tuple import NamedTuple

if TYPE_CHECKING:
    from lamina.base.platform import Platform

EMBEDDED, REMOTE = "embedded", "remote"
DEFAULT = "default"
"""The name of the builder in this process that needs no file."""
IN_DOCKER = ("docker", "docker-container")
"""Drivers that run BuildKit in Docker. Builders with them are embedded ones here."""
_NAME = r"[a-zA-Z][a-zA-Z0-9._-]*"


class Node(NamedTuple):
    """A node: the directory of a store (embedded), or the address of a daemon.

    `platforms` are those that `create --platform` named. `options`, `flags` and `files` are those
    of buildx's drivers.
    """

    name: str
    endpoint: str
    platforms: tuple[Platform, ...] = ()
    options: tuple[tuple[str, str], ...] = ()
    flags: tuple[str, ...] = ()
    files: tuple[tuple[str, bytes], ...] = ()


class NodeGroup(NamedTuple):
    """A builder with its nodes."""

    name: str
    driver: str
    nodes: tuple[Node, ...] = ()
    dynamic: bool = False

    @property
    def embedded(self) -> bool:
        """Whether it builds in this process."""
        return self.driver != REMOTE

    def node(self, name: str) -> Node | None:
        """The node with a name."""
        return next((node for node in self.nodes if node.name == name), None)

    def next_node_name(self) -> str:
        """The first free name: the builder's and a number."""
        number = 0
        while self.node(f"{self.name}{number}") is not None:
            number += 1
        return f"{self.name}{number}"

    def with_node(self, node: Node) -> NodeGroup:
        """With a new or changed node. Its fixed platforms are taken from the other nodes.

        Raises AlreadyExists if another node has the endpoint.
        """
        others = [other for other in self.nodes if other.name != node.name]
        if any(other.endpoint == node.endpoint for other in others):
            raise AlreadyExists(f"builder {self.name} has a node with endpoint {node.endpoint}")
        taken = set(node.platforms)
        kept = {
            other.name: other._replace(
                platforms=tuple(p for p in other.platforms if p not in taken)
            )
            for other in others
        }
        changed = [node if old.name == node.name else kept[old.name] for old in self.nodes]
        if node not in changed:
            changed.append(node)
        return self._replace(nodes=tuple(changed))

    def without_node(self, name: str) -> NodeGroup:
        """Without a node. Raises NotFound, and InvalidInput for the last one."""
        if self.node(name) is None:
            raise NotFound(f'builder {self.name} has no node "{name}"')
        if len(self.nodes) == 1:
            raise InvalidInput(
                f"{name} is the last node of builder {self.name}",
                hint=f"remove the builder: lamina rm {self.name}",
            )
        return self._replace(nodes=tuple(node for node in self.nodes if node.name != name))


def check_name(name: str) -> str:
    """Check the name of a builder or node, which names a file. Raises InvalidInput."""
    import re

    if re.fullmatch(_NAME, name) is None:
        raise InvalidInput(
            f'invalid name "{name}"',
            hint="a name begins with a letter, and has letters, digits, dots, dashes and"
            " underscores",
        )
    return name.lower()

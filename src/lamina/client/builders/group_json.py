"""Named builders in JSON, as buildx writes them (`store.NodeGroup`)."""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Any

from lamina.base.errors import Corrupt, LaminaError
from lamina.base.json_document import items, members, text, text_pairs, texts
from lamina.base.oci import platform_from_json, platform_to_json
from lamina.base.platform import normalise
from lamina.client.builders.node_group import Node, NodeGroup

if TYPE_CHECKING:
    from collections.abc import Iterable


def group_to_json(group: NodeGroup) -> dict[str, Any]:
    """The document in a builder's file."""
    return {
        "Name": group.name,
        "Driver": group.driver,
        "Nodes": [_node_to_json(node) for node in group.nodes] or None,
        "Dynamic": group.dynamic,
    }


def group_from_json(document: object, path: str) -> NodeGroup:
    """Read the document in a builder's file. Raises Corrupt, naming `path`."""
    try:
        found = members(document)
        nodes = tuple(map(_node_from_json, items(found.get("Nodes"))))
        name, driver = text(found.get("Name")), text(found.get("Driver"))
    except (ValueError, LaminaError) as error:
        raise Corrupt(f"malformed builder in {path}: {error}") from error
    return NodeGroup(name, driver, nodes, found.get("Dynamic") is True)


def _node_to_json(node: Node) -> dict[str, Any]:
    files = {name: b64encode(data).decode() for name, data in node.files}
    return {
        "Name": node.name,
        "Endpoint": node.endpoint,
        "Platforms": _or_null(map(platform_to_json, node.platforms)),
        "DriverOpts": dict(node.options) or None,
        "Flags": _or_null(node.flags),
        "Files": files or None,
    }


def _or_null(values: Iterable[object]) -> list[object] | None:
    return list(values) or None


def _node_from_json(document: object) -> Node:
    found = members(document)
    files = text_pairs(found.get("Files"))
    return Node(
        text(found.get("Name")),
        text(found.get("Endpoint")),
        tuple(normalise(platform_from_json(members(p))) for p in items(found.get("Platforms"))),
        text_pairs(found.get("DriverOpts")),
        texts(found.get("Flags")),
        tuple((name, b64decode(data)) for name, data in files),
    )

"""`lamina inspect` of a builder."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from lamina.base.gotext import quote
from lamina.cli.builders.named import named_builder, timeout
from lamina.cli.builders.nodes import wait_until_running
from lamina.cli.builders.platforms import marked_platforms
from lamina.cli.tables import tab_separated
from lamina.cli.units import show_binary_size
from lamina.client.builders.builder_files import BuilderFiles
from lamina.client.builders.node_group import DEFAULT
from lamina.client.builders.node_state import node_states
from lamina.dockerfile.health import format_duration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lamina.api.worker import CDIDevice, GCPolicy
    from lamina.cli.flags import Parsed
    from lamina.client.builders.node_group import Node
    from lamina.client.builders.node_state import NodeState


def inspect_builder(parsed: Parsed) -> int:
    """Print a builder and its nodes."""
    group = named_builder(parsed)
    seconds = timeout(parsed)
    if parsed.switch("bootstrap"):
        wait_until_running(group, seconds)
    lines = [f"Name:\t{group.name}", f"Driver:\t{group.driver}"]
    if group.name != DEFAULT:
        activity = BuilderFiles(os.environ).last_activity(group.name)
        if activity:
            shown = activity.replace("T", " ").removesuffix("Z")
            lines.append(f"Last Activity:\t{shown} +0000 UTC")
    lines += ["", "Nodes:"]
    for index, (node, state) in enumerate(
        zip(group.nodes, node_states(group, seconds), strict=True)
    ):
        lines += [""] if index else []
        lines += _node_lines(node, state)
    print(tab_separated(lines))
    return 0


def _node_lines(node: Node, state: NodeState) -> Iterator[str]:
    yield f"Name:\t{node.name}"
    yield f"Endpoint:\t{node.endpoint}"
    if node.options:
        shown = " ".join(f"{name}={quote(value)}" for name, value in node.options)
        yield f"Driver Options:\t{shown}"
    if state.error:
        yield f"Error:\t{state.error}"
        return
    yield f"Status:\t{state.status}"
    if node.flags:
        yield f"BuildKit daemon flags:\t{' '.join(node.flags)}"
    if state.version:
        yield f"BuildKit version:\t{state.version}"
    if platforms := marked_platforms(node.platforms, state.platforms):
        yield f"Platforms:\t{', '.join(platforms)}"
    if state.labels:
        yield "Labels:"
        yield from (f"\t{name}:\t{value}" for name, value in sorted(state.labels))
    if state.devices:
        yield "Devices:"
        for device in state.devices:
            yield from _device_lines(device)
    for number, policy in enumerate(state.policies):
        yield f"GC Policy rule#{number}:"
        yield from _policy_lines(policy)
    for name, data in node.files:
        yield f"File#{name}:"
        yield from (f"\t> {line}" for line in data.decode("utf-8", "replace").split("\n"))


def _device_lines(device: CDIDevice) -> Iterator[str]:
    yield f"\tName:\t{device.name}"
    if device.on_demand:
        yield "\tOn-Demand:\ttrue"
    else:
        yield f"\tAutomatically allowed:\t{str(device.auto_allow).lower()}"
    if device.annotations:
        yield "\tAnnotations:"
        yield from (f"\t\t{name}:\t{value}" for name, value in device.annotations)


def _policy_lines(policy: GCPolicy) -> Iterator[str]:
    yield f"\tAll:\t{str(policy.all).lower()}"
    if policy.filters:
        yield f"\tFilters:\t{' '.join(policy.filters)}"
    if policy.keep_duration:
        yield f"\tKeep Duration:\t{format_duration(policy.keep_duration)}"
    for name, size in (
        ("Reserved", policy.reserved_space),
        ("Max Used", policy.max_used_space),
        ("Min Free", policy.min_free_space),
    ):
        if size > 0:
            yield f"\t{name} Space:\t{show_binary_size(size)}"

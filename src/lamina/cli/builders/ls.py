"""`lamina ls`."""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from lamina.base.errors import Unsupported
from lamina.base.gojson import encode
from lamina.base.named_tuple import NamedTuple
from lamina.cli.builders.named import timeout
from lamina.cli.builders.platforms import marked_platforms, shortened
from lamina.cli.format_template import Row, format_rows
from lamina.cli.opening import default_root
from lamina.cli.tables import chosen_format, print_text
from lamina.client.builders.builder_files import BuilderFiles
from lamina.client.builders.choosing import current_builder, default_builder, usable
from lamina.client.builders.node_group import DEFAULT
from lamina.client.builders.node_state import FAILED, node_states

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lamina.cli.flags import Parsed
    from lamina.client.builders.node_group import Node, NodeGroup
    from lamina.client.builders.node_state import NodeState

_TABLE = "table {{.Name}}\t{{.DriverEndpoint}}\t{{.Status}}\t{{.Buildkit}}\t{{.Platforms}}"
_TITLES = {
    "Name": "NAME/NODE",
    "DriverEndpoint": "DRIVER/ENDPOINT",
    "LastActivity": "LAST ACTIVITY",
    "Status": "STATUS",
    "Buildkit": "BUILDKIT",
    "Platforms": "PLATFORMS",
    "Error": "ERROR",
}
_INDENT = " \\_ "
_NEVER = "0001-01-01T00:00:00Z"  # Go's zero time
_AT_ONCE = 16  # builders whose nodes are asked at the same time


class ListedBuilder(NamedTuple):
    """A builder with the states of its nodes. With an `error` it cannot be used."""

    group: NodeGroup
    current: bool
    states: Sequence[NodeState]
    last_activity: str
    error: str = ""


def run(parsed: Parsed) -> int:
    """Print the builders, the default one last."""
    form = chosen_format(parsed, "table", "json", "names")
    root = default_root(os.environ)
    files = BuilderFiles(os.environ)
    groups = [*files.groups(), default_builder(root)]
    if form == "names":
        print_text("\n".join(group.name for group in groups))
        return 0
    current = current_builder(root, os.environ).name
    seconds = timeout(parsed)

    def load(group: NodeGroup) -> ListedBuilder:
        activity = "" if group.name == DEFAULT else files.last_activity(group.name)
        try:
            states = node_states(usable(group, root), seconds)
        except Unsupported as error:
            return ListedBuilder(group, group.name == current, (), activity, error.reason)
        return ListedBuilder(group, group.name == current, states, activity)

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        listed = list(pool.map(load, groups))
    listed.sort(key=lambda builder: bool(builder.error))
    if form == "json":
        for builder in listed:
            print(encode(_document(builder)).decode())
        return 0
    whole = parsed.switch("no-trunc")
    in_table = form.startswith("table")
    rows = [row for builder in listed for row in _rows(builder, in_table=in_table, whole=whole)]
    print_text(format_rows(_TABLE if form == "table" else form, _TITLES, rows))
    if in_table:
        _report(listed)
    return 0


def _rows(builder: ListedBuilder, *, in_table: bool, whole: bool) -> Iterator[Row]:
    document = _document(builder)
    group = builder.group
    yield Row(
        {
            "Name": group.name + ("*" if builder.current and in_table else ""),
            "DriverEndpoint": group.driver,
            "LastActivity": builder.last_activity,
            "Status": FAILED if builder.error else "",
            "Buildkit": "",
            "Platforms": "",
            "Error": builder.error,
        },
        document,
    )
    indent = _INDENT if in_table else ""
    # A builder that cannot be used has no states.
    for node, state in zip(group.nodes, builder.states, strict=False):
        platforms = marked_platforms(node.platforms, state.platforms)
        yield Row(
            {
                "Name": indent + node.name,
                "DriverEndpoint": indent + node.endpoint,
                "LastActivity": "",
                "Status": state.status,
                "Buildkit": state.version,
                "Platforms": ", ".join(platforms)
                if whole or not in_table
                else shortened(platforms),
                "Error": state.error,
            },
            document,
        )


def _report(listed: Sequence[ListedBuilder]) -> None:
    """Explain errors below the table."""
    lines = [f"Cannot load builder {b.group.name}: {b.error}" for b in listed if b.error]
    lines += [
        f"Failed to get status for {builder.group.name} ({node.name}): {state.error}"
        for builder in listed
        for node, state in zip(builder.group.nodes, builder.states, strict=False)
        if state.error
    ]
    if lines:
        sys.stdout.flush()
        print("", *lines, sep="\n", file=sys.stderr)


def _document(builder: ListedBuilder) -> dict[str, Any]:
    """The JSON of buildx, whose members are sorted."""
    group = builder.group
    document: dict[str, Any] = {
        "Current": builder.current,
        "Driver": group.driver,
        "Dynamic": group.dynamic,
        "LastActivity": builder.last_activity or _NEVER,
        "Name": group.name,
        "Nodes": [
            _node_document(node, state)
            for node, state in zip(group.nodes, builder.states, strict=False)
        ],
    }
    return {**document, "Err": builder.error} if builder.error else document


def _node_document(node: Node, state: NodeState) -> dict[str, Any]:
    platforms = dict.fromkeys(map(str, (*node.platforms, *state.platforms)))
    members: dict[str, Any] = {
        "DriverOpts": dict(sorted(node.options)),
        "Endpoint": node.endpoint,
        "Err": state.error,
        "Flags": list(node.flags),
        "GCPolicy": [
            {
                "all": policy.all,
                "filter": list(policy.filters) or None,
                "keepDuration": policy.keep_duration,
                "maxUsedSpace": policy.max_used_space,
                "minFreeSpace": policy.min_free_space,
                "reservedSpace": policy.reserved_space,
            }
            for policy in state.policies
        ],
        "IDs": list(state.ids),
        "Labels": dict(sorted(state.labels)),
        "Name": node.name,
        "Platforms": list(platforms),
        "Status": state.status,
        "Version": state.version,
    }
    return {key: value for key, value in members.items() if value}

"""`lamina bootstrap` and `lamina stop`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from lamina.base.errors import Unavailable
from lamina.cli.builders.named import named_builder, timeout
from lamina.client.builders.node_state import FAILED, RUNNING, node_states

if TYPE_CHECKING:
    from lamina.cli.flags import Parsed
    from lamina.client.builders.node_group import NodeGroup

_PAUSE = 0.2  # seconds between attempts


def bootstrap(parsed: Parsed) -> int:
    """Wait until all nodes of a builder run, and print its name."""
    group = named_builder(parsed)
    wait_until_running(group, timeout(parsed))
    print(group.name)
    return 0


def stop(parsed: Parsed) -> int:
    """Do nothing for an existing builder: daemons belong to whoever started them."""
    named_builder(parsed)
    return 0


def wait_until_running(group: NodeGroup, seconds: float) -> None:
    """Wait until all nodes run. Raises Unavailable if one does not in time."""
    end = time.monotonic() + seconds
    while True:
        states = node_states(group, max(_PAUSE, end - time.monotonic()))
        down = [
            (node, state)
            for node, state in zip(group.nodes, states, strict=True)
            if state.status != RUNNING
        ]
        if not down:
            return
        node, state = down[0]
        if state.status == FAILED or time.monotonic() >= end:
            raise Unavailable(
                f"node {node.name} of builder {group.name} does not run"
                + (f": {state.error}" if state.error else ""),
                hint=f"is a daemon running at {node.endpoint}?",
            )
        time.sleep(_PAUSE)

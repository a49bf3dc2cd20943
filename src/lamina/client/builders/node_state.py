"""The state of nodes: whether they run, their versions, and what their workers can do."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from lamina.api import control as api
from lamina.api.message import unary
from lamina.base.errors import LaminaError
from lamina.base.named_tuple import NamedTuple
from lamina.client.builders.endpoint import endpoint_of
from lamina.client.workers import list_workers, platforms_of
from lamina.system.cancel import Cancellation
from lamina.wire.address import dial
from lamina.wire.contract import Channel, Code, StatusError

if TYPE_CHECKING:
    from lamina.api.worker import CDIDevice, GCPolicy
    from lamina.base.platform import Platform
    from lamina.client.builders.node_group import Node, NodeGroup

RUNNING, INACTIVE, FAILED = "running", "inactive", "error"


class NodeState(NamedTuple):
    """What is known of a node. `error` says why it cannot be used.

    `ids`, `labels`, `policies` and `devices` are those of its workers.
    """

    status: str
    version: str = ""
    platforms: tuple[Platform, ...] = ()
    ids: tuple[str, ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    policies: tuple[GCPolicy, ...] = ()
    devices: tuple[CDIDevice, ...] = ()
    error: str = ""


def node_states(group: NodeGroup, seconds: float) -> list[NodeState]:
    """The states of a builder's nodes, requested at the same time, in order.

    A node that does not answer within `seconds` is inactive.
    """
    if group.embedded:
        return [_embedded_state() for _ in group.nodes]
    found: dict[str, NodeState] = {}

    def load(node: Node) -> None:
        found[node.name] = _remote_state(node, seconds)

    threads = [threading.Thread(target=load, args=(node,)) for node in group.nodes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [found[node.name] for node in group.nodes]


def _embedded_state() -> NodeState:
    from lamina import __version__
    from lamina.base.buildkit_version import BUILDKIT_VERSION
    from lamina.runtime.emulation import platforms_here

    return NodeState(RUNNING, f"{BUILDKIT_VERSION}+lamina.{__version__}", platforms_here())


def _remote_state(node: Node, seconds: float) -> NodeState:
    cancel = Cancellation()
    timer = threading.Timer(seconds, cancel.cancel, ("the node did not answer in time",))
    try:
        address, tls, server_name = endpoint_of(node)
    except LaminaError as error:
        return NodeState(FAILED, error=error.reason)
    timer.start()
    try:
        with dial(address, tls, server_name=server_name, seconds=seconds) as channel:
            return _ask(channel, cancel)
    except (StatusError, LaminaError):
        return NodeState(INACTIVE)
    finally:
        timer.cancel()


def _ask(channel: Channel, cancel: Cancellation) -> NodeState:
    workers = list_workers(channel, cancel)
    first = workers[0] if workers else None
    return NodeState(
        RUNNING,
        _version(channel, cancel),
        platforms_of(workers),
        tuple(sorted(worker.id for worker in workers)),
        () if first is None else first.labels,
        () if first is None else first.gc_policy,
        workers[-1].cdi_devices if workers else (),
    )


def _version(channel: Channel, cancel: Cancellation) -> str:
    """The daemon's version, "" for old ones, which do not tell it."""
    try:
        answer = unary(
            channel, api.INFO, api.InfoRequest(), api.InfoResponse, api.SCHEMA, cancel=cancel
        )
    except StatusError as error:
        if error.code is Code.UNIMPLEMENTED:
            return ""
        raise
    return "" if answer.buildkit_version is None else answer.buildkit_version.version

"""A builder with several nodes: each platform is built by the node that runs it."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from lamina.base.errors import LaminaError, Unsupported
from lamina.base.named_tuple import NamedTuple
from lamina.client.builders.endpoint import endpoint_of
from lamina.client.builders.split_request import assign, join, part_of, pushed_names
from lamina.client.contract import BuildOutcome, PruneOutcome
from lamina.client.merged_events import MergedEvents
from lamina.client.remote import open_remote
from lamina.system.threads import in_parallel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from lamina.base.events import EventSink
    from lamina.base.platform import Platform
    from lamina.base.usage import CacheRecord, UsageFilter
    from lamina.client.build_group import GroupMember
    from lamina.client.builders.node_group import Node, NodeGroup
    from lamina.client.contract import (
        BuildRequest,
        CallAnswer,
        ClientFrontend,
        PruneRequest,
    )
    from lamina.client.remote import RemoteBuilder
    from lamina.records.plan import BuildPlan
    from lamina.system.cancel import Cancellation


class ConnectedNode(NamedTuple):
    """A node, and the builder in its daemon."""

    node: Node
    builder: RemoteBuilder


@contextmanager
def open_nodes(group: NodeGroup) -> Iterator[MultiNodeBuilder]:
    """Connect to the nodes of a remote builder for the block. Nodes that fail are left out.

    Raises the error of the first node if all fail.
    """
    connected: list[ConnectedNode] = []
    failures: list[LaminaError] = []
    with ExitStack() as owned:
        for node in group.nodes:
            try:
                address, tls, server_name = endpoint_of(node)
                opened = open_remote(address, tls, server_name=server_name)
                connected.append(ConnectedNode(node, owned.enter_context(opened)))
            except LaminaError as error:
                failures.append(error)
        if not connected:
            raise failures[0]
        yield MultiNodeBuilder(connected)


class MultiNodeBuilder:
    """Implements `lamina.client.contract.Builder`.

    A build without platforms, and all that is no build of an image, goes to the first node.
    """

    def __init__(self, nodes: Sequence[ConnectedNode]) -> None:
        self._nodes = nodes
        self._first = nodes[0].builder
        self._supported: list[Sequence[Platform]] = []

    def hurry(self) -> None:
        for connected in self._nodes:
            connected.builder.hurry()

    def build(self, request: BuildRequest, events: EventSink, cancel: Cancellation) -> BuildOutcome:
        assigned = self._assigned(request)
        if len(assigned) == 1:
            (index,) = assigned
            return self._nodes[index].builder.build(request, events, cancel)
        parts = {index: part_of(request, platforms) for index, platforms in assigned.items()}
        outcomes = self._build_parts(parts, events, cancel)
        names = pushed_names(request)
        if not names:
            merged = {key: value for outcome in outcomes for key, value in outcome.metadata.items()}
            return BuildOutcome("", merged)
        metadata = join(request, names, outcomes, cancel)
        return BuildOutcome(metadata["containerimage.digest"], metadata)

    def build_all(
        self,
        requests: Mapping[str, BuildRequest],
        events: Callable[[str], EventSink],
        cancel: Cancellation,
    ) -> Mapping[str, BuildOutcome]:
        assigned = {name: self._assigned(request) for name, request in requests.items()}
        nodes = {index for parts in assigned.values() for index in parts}
        if len(nodes) == 1:  # so that targets can be contexts of others
            (index,) = nodes
            return self._nodes[index].builder.build_all(requests, events, cancel)
        from lamina.client.build_group import TARGET, make_group_of_sessions, run_group

        for name, request in requests.items():
            if any(context.kind == TARGET for context in request.context.named):
                raise Unsupported(
                    f'target "{name}" has another target as a context, and their platforms are'
                    " built on several nodes",
                    hint="build each platform on its own: --set '*.platform=…'",
                )

        def build(member: GroupMember) -> BuildOutcome:
            return self.build(member.request, events(member.name), member.cancel)

        return run_group(make_group_of_sessions(requests, cancel), build)

    def build_in_client(
        self,
        request: BuildRequest,
        frontend: ClientFrontend,
        events: EventSink,
        cancel: Cancellation,
    ) -> BuildOutcome:
        return self._first.build_in_client(request, frontend, events, cancel)

    def call(
        self, name: str, request: BuildRequest, events: EventSink, cancel: Cancellation
    ) -> CallAnswer:
        return self._first.call(name, request, events, cancel)

    def plan(self, request: BuildRequest, cancel: Cancellation) -> BuildPlan:
        return self._first.plan(request, cancel)

    def disk_usage(self, filters: UsageFilter) -> Sequence[CacheRecord]:
        return [
            record for connected in self._nodes for record in connected.builder.disk_usage(filters)
        ]

    def prune(self, request: PruneRequest, cancel: Cancellation) -> PruneOutcome:
        outcomes = [connected.builder.prune(request, cancel) for connected in self._nodes]
        return PruneOutcome(
            tuple(record for outcome in outcomes for record in outcome.records),
            sum(outcome.reclaimed for outcome in outcomes),
        )

    def _assigned(self, request: BuildRequest) -> dict[int, list[str]]:
        platforms = request.frontend.platforms
        if not platforms or len(self._nodes) == 1:
            return {0: list(platforms)}
        if not self._supported:
            self._supported = [connected.builder.platforms() for connected in self._nodes]
        fixed = [connected.node.platforms for connected in self._nodes]
        return assign(platforms, fixed, self._supported)

    def _build_parts(
        self, parts: Mapping[int, BuildRequest], events: EventSink, cancel: Cancellation
    ) -> list[BuildOutcome]:
        """Build on several nodes at the same time. The first failure stops the others."""
        merged = MergedEvents(events)
        outcomes: dict[int, BuildOutcome] = {}

        def build(index: int, stop: Cancellation) -> None:
            node, builder = self._nodes[index]
            outcomes[index] = builder.build(parts[index], merged.of(node.name), stop)

        in_parallel(list(parts), build, len(parts), cancel)
        return [outcomes[index] for index in parts]

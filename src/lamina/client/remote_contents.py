"""The manifests of contents in a daemon of lamina, for comparisons and exports."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.api import records as api
from lamina.api.failures import from_status
from lamina.api.message import receive, unary
from lamina.base.errors import Corrupt
from lamina.stores.contents import unpack_node
from lamina.system.cancel import Cancellation
from lamina.wire.contract import Code, StatusError, send_request
from lamina.wire.protobuf import encode

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from lamina.stores.contents import ContentEntry
    from lamina.wire.contract import Channel

_AT_ONCE = 500


class RemoteContents:
    """Implements `lamina.records.content_changes.Manifests`. Keeps the nodes that it has read.

    A buildkitd has no manifests.
    """

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._roots: dict[str, str | None] = {}
        self._nodes: dict[str, list[ContentEntry]] = {}

    def has(self, content: str) -> bool:
        return self._root(content) is not None

    def root(self, content: str) -> str:
        return self._root(content) or ""

    def node(self, digest: str) -> list[ContentEntry]:
        if not digest:
            return []
        if digest not in self._nodes:
            self._fetch([digest])
        return self._nodes[digest]

    def entries(self, content: str) -> Iterator[ContentEntry]:
        """All entries of a manifest with full paths, parents first. Raises Corrupt."""
        level = [("", self.root(content))]
        while level:
            missing = {digest for _, digest in level if digest and digest not in self._nodes}
            self._fetch(sorted(missing))
            following = []
            for prefix, digest in level:
                for entry in self.node(digest):
                    path = prefix + entry.name
                    yield entry._replace(name=path)
                    if entry.below:
                        following.append((f"{path}/", entry.below))
            level = following

    def _root(self, content: str) -> str | None:
        """The root node of a manifest. None if it does not exist."""
        if content not in self._roots:
            request = api.ContentRequest(content)
            try:
                found = unary(self._channel, api.CONTENT, request, api.ContentResponse, api.SCHEMA)
            except StatusError as error:
                if error.code is not Code.UNIMPLEMENTED:
                    raise from_status(error) from error
                found = api.ContentResponse()
            self._roots[content] = found.root if found.known else None
        return self._roots[content]

    def _fetch(self, digests: list[str]) -> None:
        for at in range(0, len(digests), _AT_ONCE):
            wanted = digests[at : at + _AT_ONCE]
            for node in self._stream(wanted):
                self._nodes[node.digest] = unpack_node(node.digest, node.packed)
            if missing := [digest for digest in wanted if digest not in self._nodes]:
                raise Corrupt(f"the daemon did not send the manifest node {missing[0]}")

    def _stream(self, digests: Iterable[str]) -> Iterator[api.Node]:
        try:
            with self._channel.open(api.NODES, (), Cancellation()) as call:
                send_request(call, encode(api.NodesRequest(tuple(digests)), api.SCHEMA))
                while (node := receive(call, api.Node, api.SCHEMA)) is not None:
                    yield node
        except StatusError as error:
            raise from_status(error) from error

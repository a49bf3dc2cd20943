"""`lamina.v1.Records`: lamina's extension of BuildKit's API for build records.

Clients explain and export the builds of a daemon with it. A buildkitd answers UNIMPLEMENTED.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.api import timestamp
from lamina.api.timestamp import Timestamp
from lamina.base.named_tuple import NamedTuple
from lamina.wire.fields import boolean, data, one, string, strings

if TYPE_CHECKING:
    from lamina.wire.protobuf import Schema

SERVICE = "lamina.v1.Records"
REFERENCES = f"/{SERVICE}/References"
REMOVED = f"/{SERVICE}/Removed"
CONTENT = f"/{SERVICE}/Content"
NODES = f"/{SERVICE}/Nodes"
IMPORT = f"/{SERVICE}/Import"


class ReferencesRequest(NamedTuple):
    ref: str = ""


class ReferencesResponse(NamedTuple):
    """Digests of blobs, and names of the manifests of contents, that a record refers to."""

    blobs: tuple[str, ...] = ()
    contents: tuple[str, ...] = ()


class RemovedRequest(NamedTuple):
    """`key` is the id of a cache key."""

    key: str = ""


class RemovedResponse(NamedTuple):
    """The time when the key's result was removed, None if it was not."""

    at: Timestamp | None = None


class ContentRequest(NamedTuple):
    name: str = ""


class ContentResponse(NamedTuple):
    """The root node of a content's manifest."""

    known: bool = False
    root: str = ""


class NodesRequest(NamedTuple):
    digests: tuple[str, ...] = ()


class Node(NamedTuple):
    """A node of manifests as `lamina.stores.contents` packs it; a stream of them is the answer."""

    digest: str = ""
    packed: bytes = b""


class ImportRequest(NamedTuple):
    """A part of a bundle; a stream of them is the request."""

    data: bytes = b""


class ImportResponse(NamedTuple):
    refs: tuple[str, ...] = ()


SCHEMA: Schema = timestamp.SCHEMA | {
    ReferencesRequest: (string(1, "ref"),),
    ReferencesResponse: (strings(1, "blobs"), strings(2, "contents")),
    RemovedRequest: (string(1, "key"),),
    RemovedResponse: (one(1, "at", Timestamp),),
    ContentRequest: (string(1, "name"),),
    ContentResponse: (boolean(1, "known"), string(2, "root")),
    NodesRequest: (strings(1, "digests"),),
    Node: (string(1, "digest"), data(2, "packed")),
    ImportRequest: (data(1, "data"),),
    ImportResponse: (strings(1, "refs"),),
}

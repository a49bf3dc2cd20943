"""The routes of the API, for the server and for the OpenAPI document."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lamina.base.named_tuple import NamedTuple
from lamina.ui import documents, requests

if TYPE_CHECKING:
    from collections.abc import Callable

    from lamina.ui.api import Api
    from lamina.ui.query import Query


class Parameter(NamedTuple):
    """A parameter of a query: `type` is `string` or `integer`."""

    name: str
    type: str
    text: str


class Route(NamedTuple):
    """A request that is answered with a document.

    `answer` is the type of the document (`lamina.ui.documents`). `changes`: the request changes
    the store.
    """

    path: str
    summary: str
    answer: type
    handle: Callable[[Api, Query], Any]
    parameters: tuple[Parameter, ...] = ()
    method: str = "GET"
    changes: bool = False


_BUILD = "/api/builds/{ref}"
_STEP = Parameter("step", "string", "the digest of a step")
_UNUSED = Parameter("unusedDays", "integer", "only records that were not used for so many days")
_TYPE = Parameter("type", "string", "only records of this type")

ROUTES = (
    Route("/api/info", "Describe the server", documents.Info, requests.show_info),
    Route(
        "/api/builds",
        "List the newest builds",
        documents.Builds,
        requests.list_builds,
        (Parameter("limit", "integer", f"at most this many, {requests.MOST_BUILDS} by default"),),
    ),
    Route(_BUILD, "Show a build and its steps", documents.Build, requests.show_build),
    Route(
        f"{_BUILD}/explain",
        "Explain the cache misses of a build",
        documents.Explanations,
        requests.explain,
    ),
    Route(
        f"{_BUILD}/savings", "Show what the cache saved", documents.Savings, requests.show_savings
    ),
    Route(
        f"{_BUILD}/log", "Show the sizes of the steps' logs", documents.LogIndex, requests.show_log
    ),
    Route(
        f"{_BUILD}/log/lines",
        "Show lines of a step's log",
        documents.LogPage,
        requests.show_lines,
        (
            _STEP,
            Parameter("first", "integer", "the number of the first line, from 0"),
            Parameter("count", "integer", f"at most so many, {requests.LINES} by default"),
        ),
    ),
    Route(
        f"{_BUILD}/log/search",
        f"Find the first {requests.MATCHES} lines that contain a text, regardless of case",
        documents.LogMatches,
        requests.search_log,
        (Parameter("text", "string", "the text"),),
    ),
    Route(
        f"{_BUILD}/attachments/{{digest}}",
        "Show an attestation, a manifest or a configuration",
        documents.AttachmentContent,
        requests.show_attachment,
    ),
    Route(
        "/api/compare/{before}/{after}",
        "Compare two builds that have ended",
        documents.Comparison,
        requests.compare,
    ),
    Route("/api/images", "List the images of the store", documents.Images, requests.list_images),
    Route(
        "/api/images/{digest}",
        "Show the layers, packages and configuration of an image",
        documents.Image,
        requests.show_image,
    ),
    Route(
        "/api/images/{digest}/files",
        "List a directory in a layer of an image",
        documents.LayerFiles,
        requests.list_files,
        (
            Parameter("layer", "integer", "the number of the layer, from 1"),
            Parameter("path", "string", "the directory, the root by default"),
        ),
    ),
    Route(
        "/api/store",
        "Show the disk usage, and what pruning removes",
        documents.StoreUsage,
        requests.show_store,
        (_TYPE, _UNUSED),
    ),
    Route(
        "/api/store/prune",
        "Remove records of the cache that are not in use",
        documents.Pruned,
        requests.prune_store,
        (_TYPE, _UNUSED),
        method="POST",
        changes=True,
    ),
)

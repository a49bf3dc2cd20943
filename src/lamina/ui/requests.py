"""The requests of the API: each returns a document. All raise errors of `lamina.base.errors`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from lamina import __version__
from lamina.base.errors import InvalidInput, NotFound
from lamina.base.usage import UsageFilter
from lamina.client.attachments import attachments_of
from lamina.records.rows import RUNNING
from lamina.records.table import row_of
from lamina.system.cancel import Cancellation
from lamina.ui.build_document import build_document
from lamina.ui.documents import (
    AttachmentContent,
    Build,
    Builds,
    Comparison,
    Explanations,
    Image,
    Images,
    Info,
    LayerFiles,
    LogIndex,
    LogLine,
    LogMatch,
    LogMatches,
    LogPage,
    Pruned,
    Savings,
    StepLog,
    StoreUsage,
)
from lamina.ui.explanations import comparison, explanations, savings
from lamina.ui.store_usage import prune, store_usage

if TYPE_CHECKING:
    from lamina.client.attachments import Attachment
    from lamina.client.build_history import BuildHistory
    from lamina.ui.api import Api
    from lamina.ui.open_build import OpenBuild
    from lamina.ui.query import Query

MOST_BUILDS = 5000
LINES, MOST_LINES = 200, 5000
MATCHES = 1000
_DAY = 86_400.0


def show_info(api: Api, query: Query) -> Info:
    return Info(
        version=__version__,
        store=api.source.name,
        changes=api.changes,
        report=False,
        images=api.source.images is not None,
    )


def list_builds(api: Api, query: Query) -> Builds:
    return api.rows.list(api.source.history(), query.number("limit", MOST_BUILDS, MOST_BUILDS))


def show_build(api: Api, query: Query) -> Build:
    history = api.source.history()
    build = api.builds.get(history, query.path("ref"))
    return build_document(history, build.record, build.progress())


def explain(api: Api, query: Query) -> Explanations:
    history = api.source.history()
    build = api.builds.get(history, query.path("ref"))
    return explanations(history, build.record, build.progress())


def show_savings(api: Api, query: Query) -> Savings:
    history = api.source.history()
    build = api.builds.get(history, query.path("ref"))
    return savings(history, build.record, build.progress())


def show_log(api: Api, query: Query) -> LogIndex:
    build = api.opened(query.path("ref"))
    return log_index(build)


def show_lines(api: Api, query: Query) -> LogPage:
    build = api.opened(query.path("ref"))
    first = query.number("first", 0, 1 << 40)
    return log_page(build, query.text("step"), first, query.number("count", LINES, MOST_LINES))


def search_log(api: Api, query: Query) -> LogMatches:
    wanted = query.text("text")
    if not wanted:
        raise InvalidInput("the parameter text is empty")
    found = api.opened(query.path("ref")).find(wanted, MATCHES + 1)
    return LogMatches(
        matches=[LogMatch(step=step, line=line) for step, line in found[:MATCHES]],
        more=len(found) > MATCHES,
    )


def show_attachment(api: Api, query: Query) -> AttachmentContent:
    ref, digest = query.path("ref"), query.path("digest")
    history = api.source.history()
    for attachment in attachments_of(history, history.record(ref)):
        if attachment.digest == digest:  # no other blob of the store is shown
            return attachment_content(history, attachment)
    raise NotFound(f"build {ref} has no attachment {digest}")


def compare(api: Api, query: Query) -> Comparison:
    history = api.source.history()
    records = [history.record(query.path(name)) for name in ("before", "after")]
    for record in records:
        if row_of(record).status == RUNNING:
            raise InvalidInput(f"build {record.ref} is running", hint="wait until it ends")
    return comparison(history, *records)


def list_images(api: Api, query: Query) -> Images:
    return api.images.list()


def show_image(api: Api, query: Query) -> Image:
    return api.images.image(query.path("digest"))


def list_files(api: Api, query: Query) -> LayerFiles:
    number = query.number("layer", 1, MOST_BUILDS)
    return api.images.files(query.path("digest"), number, query.text("path"))


def show_store(api: Api, query: Query) -> StoreUsage:
    return store_usage(api.source.builder, _filters(query))


def prune_store(api: Api, query: Query) -> Pruned:
    return prune(api.source.builder, _filters(query), Cancellation())


def log_index(build: OpenBuild) -> LogIndex:
    """The sizes of the logs of a build's steps."""
    complete = build.complete
    return LogIndex(
        steps=[
            StepLog(step=step, lines=lines, bytes=size)
            for step, (lines, size) in build.logs().items()
        ],
        complete=complete,
    )


def log_page(build: OpenBuild, step: str, first: int, count: int) -> LogPage:
    """Lines of a step's log."""
    total, lines = build.lines(step, first, count)
    started = {s.digest: s.started for s in build.progress().steps}.get(step) or 0.0
    return LogPage(
        step=step,
        total=total,
        lines=[
            LogLine(
                number=line.number,
                time=round(line.time - started, 3),
                stream=line.stream,
                text=line.text,
            )
            for line in lines
        ],
    )


def attachment_content(history: BuildHistory, attachment: Attachment) -> AttachmentContent:
    """The content of an attachment. Raises NotFound, Corrupt."""
    data = history.blob(attachment.digest)
    try:
        content: Any = json.loads(data)
    except ValueError:
        content = data.decode("utf-8", "replace")
    return AttachmentContent(digest=attachment.digest, type=attachment.type, content=content)


def _filters(query: Query) -> UsageFilter:
    kind = query.text("type")
    days = query.number("unusedDays", 0, 10_000)
    return UsageFilter(types=(kind,) if kind else (), unused_for=days * _DAY)

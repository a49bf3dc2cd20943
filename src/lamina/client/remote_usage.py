"""What a daemon's cache takes, and removing it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.api import control as api
from lamina.api.message import receive
from lamina.base.usage import CacheRecord
from lamina.client.contract import PruneOutcome
from lamina.wire.contract import send_request
from lamina.wire.protobuf import encode

if TYPE_CHECKING:
    from lamina.api.timestamp import Timestamp
    from lamina.base.usage import UsageFilter
    from lamina.client.contract import PruneRequest
    from lamina.system.cancel import Cancellation
    from lamina.wire.contract import Channel

_SECOND = 1_000_000_000


def record_of(record: api.UsageRecord) -> CacheRecord:
    """A record of the daemon."""
    parents = record.parents or ((record.parent,) if record.parent else ())
    return CacheRecord(
        record.id,
        record.record_type,
        record.size,
        _seconds(record.created_at) or 0.0,
        _seconds(record.last_used_at),
        record.usage_count,
        record.description,
        parents,
        not record.in_use,
        record.shared,
    )


def wire_filters(filters: UsageFilter) -> tuple[str, ...]:
    """As the daemon reads them: conditions within a text all hold, one of the texts must.

    The age is not among them.
    """
    common = []
    if filters.description:
        common.append(f"description~={_quoted(_literal(filters.description))}")
    if filters.reclaimable is False:  # of the contrary the language knows no word
        common.append("inuse")
    if filters.shared is not None:
        common.append("shared" if filters.shared else "private")
    ids = [f"id=={_quoted(name)}" for name in filters.ids] or [""]
    types = [f"type=={_quoted(name)}" for name in filters.types] or [""]
    texts = [",".join(filter(None, (a, b, *common))) for a in ids for b in types]
    return tuple(filter(None, texts))


def prune(channel: Channel, request: PruneRequest, cancel: Cancellation) -> PruneOutcome:
    """Remove what matches. Raises StatusError."""
    message = api.PruneRequest(
        wire_filters(request.filter),
        request.all,
        round(request.filter.unused_for * _SECOND),
        request.keep,
        request.max_used,
        request.min_free,
    )
    removed = []
    with channel.open(api.PRUNE, (), cancel) as call:
        send_request(call, encode(message, api.SCHEMA))
        while (record := receive(call, api.UsageRecord, api.SCHEMA)) is not None:
            removed.append(record_of(record))
    return PruneOutcome(tuple(removed), sum(record.size for record in removed))


def _seconds(moment: Timestamp | None) -> float | None:
    return None if moment is None else moment.nanoseconds / _SECOND


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _literal(text: str) -> str:
    """A regular expression (RE2) that matches just this text."""
    return "".join(f"\\{c}" if c in r"\.+*?()|[]{}^$" else c for c in text)

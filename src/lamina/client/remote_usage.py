"""Disk usage and pruning of a daemon's cache."""

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
    """Convert a record of the daemon."""
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
    """Convert a filter for the daemon. A record must meet all conditions of at least one text.

    The age is not included.
    """
    common = []
    if filters.description:
        common.append(f"description~={_quoted(_literal(filters.description))}")
    if filters.reclaimable is False:  # the filter language has no opposite of it
        common.append("inuse")
    if filters.shared is not None:
        common.append("shared" if filters.shared else "private")
    ids = [f"id=={_quoted(name)}" for name in filters.ids] or [""]
    types = [f"type=={_quoted(name)}" for name in filters.types] or [""]
    texts = [",".join(filter(None, (a, b, *common))) for a in ids for b in types]
    return tuple(filter(None, texts))


def prune(channel: Channel, request: PruneRequest, cancel: Cancellation) -> PruneOutcome:
    """Remove matching records. Raises StatusError."""
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
    """A regular expression (RE2) that matches exactly this text."""
    return "".join(f"\\{c}" if c in r"\.+*?()|[]{}^$" else c for c in text)

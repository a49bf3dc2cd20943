"""The disk usage of the cache, and what pruning removes."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from lamina.base.usage import UsageFilter
from lamina.client.contract import PruneRequest
from lamina.ui.documents import Pruned, StoreRecord, StoreUsage
from lamina.ui.shown_text import shown_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lamina.base.usage import CacheRecord
    from lamina.client.contract import BuildRunner
    from lamina.system.cancel import Cancellation


def store_usage(builder: BuildRunner, filters: UsageFilter) -> StoreUsage:
    """The records of the cache, and which of them pruning with a filter removes."""
    records = builder.disk_usage(UsageFilter())
    removed = removable(records, filters)
    return StoreUsage(
        records=[_record(record, removable=_key(record) in removed) for record in records],
        size=sum(record.size for record in records),
        removable=sum(record.size for record in records if _key(record) in removed),
    )


def prune(builder: BuildRunner, filters: UsageFilter, cancel: Cancellation) -> Pruned:
    """Remove matching records that are not in use."""
    outcome = builder.prune(PruneRequest(filters), cancel)
    return Pruned(records=len(outcome.records), bytes=outcome.reclaimed)


def removable(records: Sequence[CacheRecord], filters: UsageFilter) -> set[tuple[str, str]]:
    """The (type, id) of the records that pruning removes: matching ones that are not in use, and
    that no other record needs."""
    by_key = {_key(record): record for record in records}
    needed = Counter((record.type, parent) for record in records for parent in record.parents)
    found: set[tuple[str, str]] = set()
    waiting = [key for key in by_key if not needed[key]]
    while waiting:
        key = waiting.pop()
        record = by_key[key]
        if not record.reclaimable or not filters.matches(record):
            continue
        found.add(key)
        for parent in record.parents:
            above = (record.type, parent)
            needed[above] -= 1
            if not needed[above] and above in by_key:
                waiting.append(above)
    return found


def _key(record: CacheRecord) -> tuple[str, str]:
    return record.type, record.id


def _record(record: CacheRecord, *, removable: bool) -> StoreRecord:
    return StoreRecord(
        id=record.id,
        type=record.type,
        size=record.size,
        created=record.created,
        used=record.last_used,
        count=record.usage_count,
        description=shown_text(record.description),
        shared=record.shared,
        removable=removable,
    )

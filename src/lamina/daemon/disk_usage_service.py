"""`Control.DiskUsage` and `Control.Prune`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.api import control as api
from lamina.api.message import text_request_of
from lamina.api.timestamp import at_seconds
from lamina.base.filters import parse_filters
from lamina.daemon.gc import SizedPolicy, prune_rule, record_matches
from lamina.engine.maintenance.disk_usage import cache_records
from lamina.engine.maintenance.prune import prune
from lamina.stores.images import ImageTable
from lamina.wire.protobuf import encode

if TYPE_CHECKING:
    from lamina.base.usage import CacheRecord
    from lamina.stores.store import Store
    from lamina.wire.contract import Handler, ServerCall

_SECOND = 1_000_000_000


class UsageService:
    """Reports the disk usage of the store, and prunes it. Handlers of both methods."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def handlers(self) -> dict[str, Handler]:
        return {api.DISK_USAGE: self.disk_usage, api.PRUNE: self.prune}

    def disk_usage(self, call: ServerCall) -> None:
        request = text_request_of(call, api.DiskUsageRequest, api.SCHEMA)
        filters = parse_filters(request.filter)
        age = request.age_limit / _SECOND
        records = tuple(
            usage_record(record)
            for record in cache_records(self._store)
            if record_matches(filters, record) and (age <= 0 or record.unused_for(age))
        )
        call.send(encode(api.DiskUsageResponse(records), api.SCHEMA))

    def prune(self, call: ServerCall) -> None:
        """Send each record when it is removed. Pruning stops when the client disconnects."""
        request = text_request_of(call, api.PruneRequest, api.SCHEMA)
        rule = prune_rule(
            SizedPolicy(
                request.all,
                request.filter,
                request.keep_duration / _SECOND,
                request.reserved_space,
                request.max_used_space,
                request.min_free_space,
            )
        )

        if request == api.PruneRequest(all=True):
            # BuildKit's API has no images apart from the cache, so a request to prune everything
            # also removes images.
            ImageTable(self._store.database).forget_names()

        def removed(record: CacheRecord) -> None:
            call.send(encode(usage_record(record), api.SCHEMA))

        prune(self._store, [rule], call.cancel, removed)


def usage_record(record: CacheRecord) -> api.UsageRecord:
    return api.UsageRecord(
        id=record.id,
        mutable=record.mutable,
        in_use=not record.reclaimable,
        size=record.size,
        created_at=at_seconds(record.created),
        last_used_at=None if record.last_used is None else at_seconds(record.last_used),
        usage_count=record.usage_count,
        description=record.description,
        record_type=record.type,
        shared=record.shared,
        parents=record.parents,
    )

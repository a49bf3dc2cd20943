"""Automatic garbage collection: its policies and its schedule.

The defaults and the meaning of every limit are those of buildkitd (its `docs/buildkitd.toml.md`).
"""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING

from lamina.base.errors import LaminaError
from lamina.base.filters import parse_filters
from lamina.base.named_tuple import NamedTuple
from lamina.daemon.config import DiskSpace, GcConfig, GcPolicy
from lamina.engine.maintenance.disk_usage import cache_records
from lamina.engine.maintenance.prune import PruneRule, prune
from lamina.system.cancel import Cancellation

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from lamina.base.filters import Filter
    from lamina.base.usage import CacheRecord
    from lamina.daemon.log import Log
    from lamina.stores.store import Store

_GB = 1_000_000_000
_DAY = 86_400.0
_RESERVED = DiskSpace(10 * _GB, percent=10)  # the smaller of the two
_MAX_USED = DiskSpace(100 * _GB, percent=80)
_MIN_FREE = DiskSpace(percent=20)
_EASILY_MADE = "type==source.local", "type==exec.cachemount", "type==source.git.checkout"
_SPARED = ("internal", "frontend")
_AFTER_BUILD = 1.0  # seconds
_BETWEEN = 60.0


class SizedPolicy(NamedTuple):
    """A policy with sizes in bytes and durations in seconds."""

    all: bool
    filters: tuple[str, ...]
    keep_duration: float
    reserved: int
    max_used: int
    min_free: int


def sized_policies(config: GcConfig, root: str) -> tuple[SizedPolicy, ...]:
    """The policies for the file system of `root`; empty if collection is off.

    Raises InvalidInput (filters).
    """
    if not config.enabled:
        return ()
    status = os.statvfs(root)
    total = status.f_blocks * status.f_frsize
    found = []
    for policy in config.policies or _default_policies(config, total):
        parse_filters(policy.filters)
        found.append(
            SizedPolicy(
                policy.all,
                policy.filters,
                policy.keep_duration,
                policy.reserved.of(total),
                policy.max_used.of(total),
                policy.min_free.of(total),
            )
        )
    return tuple(found)


def _default_policies(config: GcConfig, total: int) -> tuple[GcPolicy, ...]:
    limits = (config.reserved, config.max_used, config.min_free)
    if limits == (DiskSpace(),) * 3:
        limits = (_smaller(_RESERVED, total), _smaller(_MAX_USED, total), _MIN_FREE)
    return (
        # First, what is easiest to create again, if it was not used for two days.
        GcPolicy(
            filters=_EASILY_MADE,
            keep_duration=2 * _DAY,
            max_used=DiskSpace(512_000_000),
        ),
        GcPolicy(False, (), 60 * _DAY, *limits),
        GcPolicy(False, (), 0.0, *limits),
        GcPolicy(True, (), 0.0, *limits),
    )


def _smaller(space: DiskSpace, total: int) -> DiskSpace:
    return DiskSpace(min(space.size, DiskSpace(percent=space.percent).of(total)))


def prune_rule(policy: SizedPolicy) -> PruneRule:
    """Convert a policy, or a request of the same form, to the engine's rule. Raises
    InvalidInput."""
    filters = parse_filters(policy.filters)

    def matches(record: CacheRecord) -> bool:
        if not policy.all and (record.type in _SPARED or record.shared):
            return False
        if policy.keep_duration and not record.unused_for(policy.keep_duration):
            return False
        return record_matches(filters, record)

    return PruneRule(matches, policy.all, policy.reserved, policy.max_used, policy.min_free)


def record_matches(filters: Filter, record: CacheRecord) -> bool:
    """Whether a filter matches a record, by the fields of BuildKit's records."""

    def field(path: tuple[str, ...]) -> str | None:
        flags = {
            "inuse": not record.reclaimable,
            "mutable": record.mutable,
            "immutable": not record.mutable,
            "shared": record.shared,
            "private": not record.shared,
        }
        name = path[0]
        if name in flags:
            return "" if flags[name] else None
        texts = {
            "id": record.id,
            "parents": ";".join(record.parents),
            "description": record.description,
            "type": record.type,
        }
        return texts.get(name) or None

    return filters.matches(field)


class Collector:
    """Applies the policies in a thread, shortly after each build, but at most once a minute.

    Use it in a `with` block. The end of the block stops a running collection.
    """

    def __init__(self, store: Store, policies: Sequence[SizedPolicy], log: Log) -> None:
        self._store = store
        self._rules = [prune_rule(policy) for policy in policies]
        self._log = log
        self._cancel = Cancellation()
        self._changed = threading.Condition()
        self._due: float | None = None  # monotonic time; None: nothing to do
        self._began = -_BETWEEN  # of the last collection
        self._short = False
        self._thread = threading.Thread(target=self._run, name="gc", daemon=True)

    def wake(self) -> None:
        """Schedule a collection: a build has ended."""
        with self._changed:
            if self._due is None:
                self._due = max(time.monotonic() + _AFTER_BUILD, self._began + _BETWEEN)
                self._changed.notify_all()

    def hurry(self) -> None:
        """Schedule an immediate collection: a build ran out of disk space."""
        with self._changed:
            self._short = True
            self._due = max(time.monotonic(), self._began + _AFTER_BUILD)
            self._changed.notify_all()

    def collect(self) -> int:
        """Apply the policies now. Returns the bytes freed."""
        return self._prune(self._rules)

    def __enter__(self) -> Collector:
        if self._rules:
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._cancel.cancel("the daemon shuts down")
        with self._changed:
            self._changed.notify_all()
        if self._rules:
            self._thread.join()

    def _run(self) -> None:
        while self._wait():
            short, self._short = self._short, False
            try:
                freed = self.collect()
                if short and not freed:
                    freed = self._halve_cache()
                if freed:
                    self._log.debug(f"gc cleaned up {freed} bytes")
            except (LaminaError, OSError) as error:
                if not self._cancel.cancelled:
                    self._log.error(f"gc: {error}")

    def _halve_cache(self) -> int:
        """Halve the cache, as the free space was not enough for a build. Reserved space is kept."""
        used = sum(record.size for record in cache_records(self._store))
        return self._prune([self._rules[-1]._replace(max_used=used // 2, min_free=0)])

    def _prune(self, rules: Sequence[PruneRule]) -> int:
        return prune(self._store, rules, self._cancel, lambda record: None)

    def _wait(self) -> bool:
        """Wait until a collection is due. Returns False when the collector stops."""
        with self._changed:
            while not self._cancel.cancelled:
                now = time.monotonic()
                if self._due is not None and self._due <= now:
                    self._due = None
                    self._began = now
                    return True
                self._changed.wait(None if self._due is None else self._due - now)
            return False

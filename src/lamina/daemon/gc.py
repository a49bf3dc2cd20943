"""Garbage collection by itself: policies, and when they are applied.

Defaults and the meaning of every limit are buildkitd's (its `docs/buildkitd.toml.md`).
"""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

from lamina.base.errors import LaminaError
from lamina.daemon.config import DiskSpace, GcConfig, GcPolicy
from lamina.daemon.filters import parse_filters
from lamina.engine.prune import PruneRule, prune
from lamina.system.cancel import Cancellation

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from lamina.base.usage import CacheRecord
    from lamina.daemon.filters import Filter
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
    """A policy in bytes; durations are seconds."""

    all: bool
    filters: tuple[str, ...]
    keep_duration: float
    reserved: int
    max_used: int
    min_free: int


def sized_policies(config: GcConfig, root: str) -> tuple[SizedPolicy, ...]:
    """The policies for the file system that `root` is on; none if collection is off.

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
        # What is made again most easily goes first, if it was not used for two days.
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
    """A policy, or a request of the same shape, as the engine takes it. Raises InvalidInput."""
    filters = parse_filters(policy.filters)

    def matches(record: CacheRecord) -> bool:
        if not policy.all and (record.type in _SPARED or record.shared):
            return False
        if policy.keep_duration and not record.unused_for(policy.keep_duration):
            return False
        return record_matches(filters, record)

    return PruneRule(matches, policy.all, policy.reserved, policy.max_used, policy.min_free)


def record_matches(filters: Filter, record: CacheRecord) -> bool:
    """Whether a filter of BuildKit's matches, by the fields that it has for records."""

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
    """Applies policies in a thread of its own, a moment after each build, at most once a minute.

    Use it in a `with` block: leaving it ends a collection that runs.
    """

    def __init__(self, store: Store, policies: Sequence[SizedPolicy], log: Log) -> None:
        self._store = store
        self._rules = [prune_rule(policy) for policy in policies]
        self._log = log
        self._cancel = Cancellation()
        self._wanted = threading.Event()
        self._thread = threading.Thread(target=self._run, name="gc", daemon=True)

    def wake(self) -> None:
        """A build has ended: there may be something to collect."""
        self._wanted.set()

    def collect(self) -> int:
        """Apply the policies now. Returns the bytes freed."""
        return prune(self._store, self._rules, self._cancel, lambda record: None)

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
        self._cancel.cancel("the daemon ends")
        self._wanted.set()
        if self._rules:
            self._thread.join()

    def _run(self) -> None:
        while True:
            self._wanted.wait()
            if self._cancel.wait(_AFTER_BUILD):
                return
            self._wanted.clear()
            began = time.monotonic()
            try:
                if freed := self.collect():
                    self._log.debug(f"gc cleaned up {freed} bytes")
            except LaminaError as error:
                if not self._cancel.cancelled:
                    self._log.error(f"gc: {error}")
            if self._cancel.wait(max(0.0, began + _BETWEEN - time.monotonic())):
                return

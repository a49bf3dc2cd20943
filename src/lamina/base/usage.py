"""Cache records: what a store keeps to speed up later builds, as values."""

from __future__ import annotations

import time

from lamina.base.named_tuple import NamedTuple


class CacheRecord(NamedTuple):
    """A record of something on disk. `type` as in BuildKit: `regular`, `source.local`,
    `exec.cachemount`, `internal`, `frontend`, `source.git.checkout`; `image` is lamina's own.

    `size` is in bytes, times are seconds since the epoch; `last_used` of None is never. What is
    not `reclaimable` is in use by a running build.
    """

    id: str
    type: str
    size: int
    created: float
    last_used: float | None = None
    usage_count: int = 0
    description: str = ""
    parents: tuple[str, ...] = ()
    reclaimable: bool = True
    shared: bool = False

    @property
    def mutable(self) -> bool:
        """Whether builds modify it, so that it is not a result."""
        return self.type not in ("regular", "internal", "frontend", "image")

    def unused_for(self, seconds: float) -> bool:
        """Whether it was not used for this many seconds."""
        return time.time() - (self.last_used or self.created) >= seconds


class UsageFilter(NamedTuple):
    """Conditions on records: all must be met, each by any of its values.

    Empty fields match everything. `unused_for` is in seconds: records not used for that long.
    """

    ids: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    description: str = ""
    unused_for: float = 0.0
    reclaimable: bool | None = None
    shared: bool | None = None

    def matches(self, record: CacheRecord) -> bool:
        if self.ids and record.id not in self.ids:
            return False
        if self.types and record.type not in self.types:
            return False
        if self.description and self.description not in record.description:
            return False
        if self.unused_for and not record.unused_for(self.unused_for):
            return False
        if self.reclaimable is not None and record.reclaimable != self.reclaimable:
            return False
        return self.shared is None or record.shared == self.shared

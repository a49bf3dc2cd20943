"""Cache records: what a store keeps to speed up later builds, as values."""

from __future__ import annotations

import time
from typing import NamedTuple


class CacheRecord(NamedTuple):
    """One thing on disk. `type` as BuildKit names it: `regular`, `source.local`,
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
        """Whether it is written to again and again, rather than a result."""
        return self.type not in ("regular", "internal", "frontend", "image")

    def unused_for(self, seconds: float) -> bool:
        """Whether it was not used for that long."""
        return time.time() - (self.last_used or self.created) >= seconds


class UsageFilter(NamedTuple):
    """Conditions on records; all must hold, and any of one field's values will do.

    Empty fields ask nothing. `unused_for` is in seconds: only what was not used that long.
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

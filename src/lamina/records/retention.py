"""Which records of builds are kept."""

from __future__ import annotations

from lamina.base.named_tuple import NamedTuple


class Retention(NamedTuple):
    """Which records are deleted: those older than `max_age` seconds that are not among the newest
    `max_entries`; then the oldest ones while logs take more than `max_size` bytes (0: no limit).
    Pinned records and running builds are kept."""

    max_age: float = 14 * 86_400.0
    max_entries: int = 200
    max_size: int = 1 << 30

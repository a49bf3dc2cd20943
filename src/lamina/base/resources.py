"""The resource usage of a step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable


class ResourceUsage(NamedTuple):
    """CPU time in nanoseconds, all else in bytes. A field is None if the value is not known."""

    cpu_time: int | None = None
    peak_memory: int | None = None
    bytes_read: int | None = None
    bytes_written: int | None = None
    bytes_sent: int | None = None
    bytes_received: int | None = None


def total_usage(usages: Iterable[ResourceUsage]) -> ResourceUsage:
    """The usage of several steps: the sums, and the largest of the memory peaks.

    A value that one of them does not have is None.
    """
    totals: dict[str, int] = {}
    for name, column in zip(ResourceUsage._fields, zip(*usages, strict=True), strict=False):
        known = [value for value in column if value is not None]
        if len(known) == len(column):
            totals[name] = max(known) if name == "peak_memory" else sum(known)
    return ResourceUsage(**totals)

"""The resources that a step used, as provenance has them: BuildKit's `executor/resources/types`.

BuildKit takes several samples while a step runs. lamina measures once, at its end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lamina.base.named_tuple import NamedTuple
from lamina.base.times import format_time

if TYPE_CHECKING:
    from lamina.base.resources import ResourceUsage


class MeasuredUsage(NamedTuple):
    """The usage of a step that ended at `when`, in seconds since 1970."""

    when: float
    usage: ResourceUsage


def usage_samples(measured: MeasuredUsage) -> dict[str, Any]:
    """The document for a step: its values in nanoseconds and bytes, as far as they are known."""
    usage = measured.usage
    groups = {
        "cpuStat": {"usageNanos": usage.cpu_time},
        "memoryStat": {"peak": usage.peak_memory},
        "ioStat": {"readBytes": usage.bytes_read, "writeBytes": usage.bytes_written},
        # BuildKit leaves out the zeros of only this group.
        "netStat": {"rxBytes": usage.bytes_received or None, "txBytes": usage.bytes_sent or None},
    }
    sample: dict[str, Any] = {"timestamp": format_time(measured.when)}
    for name, values in groups.items():
        known = {key: value for key, value in values.items() if value is not None}
        if known:
            sample[name] = known
    return {"samples": [sample]}

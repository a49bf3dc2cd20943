from __future__ import annotations

from lamina.base.resources import ResourceUsage, total_usage


def test_sums_and_the_largest_peak() -> None:
    assert total_usage([ResourceUsage(1, 5, 3, 4), ResourceUsage(2, 7, 0, 1)]) == ResourceUsage(
        3, 7, 3, 5
    )


def test_what_one_does_not_know_is_not_known_of_all() -> None:
    usages = [ResourceUsage(1, bytes_sent=0, bytes_received=9), ResourceUsage(2, 3)]
    assert total_usage(usages) == ResourceUsage(3)
    assert total_usage([]) == ResourceUsage()

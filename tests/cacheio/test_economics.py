"""Which results `mode=auto` exports."""

from __future__ import annotations

from lamina.base.digest import digest_of
from lamina.base.oci import Descriptor
from lamina.cacheio.economics import Economics, TransferRate


def layer(name: str, size: int) -> Descriptor:
    return Descriptor("application/x", digest_of(name.encode()), size)


def test_a_result_is_exported_if_it_takes_longer_than_its_layers() -> None:
    economics = Economics({1: 10.0, 2: 10.0, 3: 0.05}, rate=1e6)
    assert economics.takes(1, "quick to move", [layer("a", 1_000_000)])
    assert not economics.takes(2, "slow to move", [layer("b", 20_000_000)])
    assert not economics.takes(3, "quick to make", [layer("c", 10)])
    assert [decision.exported for decision in economics.decisions] == [True, False, False]
    assert economics.decisions[1].reason == ("it took 10.0 s, less than moving 20.0 MB (40.2 s)")


def test_layers_below_count_once() -> None:
    economics = Economics({1: 100.0, 2: 1.0}, rate=1e6)
    base, top = layer("base", 20_000_000), layer("top", 100_000)
    assert economics.takes(1, "base", [base])
    assert economics.takes(2, "top", [base, top])
    assert economics.decisions[1].size == 100_000


def test_layers_of_the_targets_cost_nothing() -> None:
    economics = Economics({1: 0.01}, rate=1e6)
    economics.include([layer("a", 1 << 30)])
    assert economics.takes(1, "part of the image", [layer("a", 1 << 30)])


def test_steps_that_did_not_run_stay_in_the_cache() -> None:
    economics = Economics({}, rate=1e6)
    assert economics.takes(1, "cached", [layer("a", 1 << 30)])
    assert "did not run" in economics.decisions[0].reason


def test_the_rate_is_measured_when_enough_was_moved() -> None:
    rate = TransferRate()
    assumed = rate.value
    rate.add(1000, 10)
    assert rate.value == assumed
    rate.add(2 << 20, 0.5)
    assert rate.value == ((2 << 20) + 1000) / 10.5

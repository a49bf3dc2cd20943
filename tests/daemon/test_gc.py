from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING

import pytest

from lamina.base.errors import InvalidInput
from lamina.base.filters import parse_filters
from lamina.base.usage import CacheRecord
from lamina.daemon import gc
from lamina.daemon.config import DiskSpace, GcConfig, GcPolicy, LogConfig
from lamina.daemon.gc import Collector, SizedPolicy, prune_rule, record_matches, sized_policies
from lamina.daemon.log import Log
from lamina.stores.snapshots import SnapshotStore
from lamina.stores.store import open_store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lamina.stores.store import Store

GB = 1_000_000_000
QUIET = Log(LogConfig(level="panic"))
RECORD = CacheRecord("abc", "exec.cachemount", 5, 1000.0, 2000.0, description="cached mount /x")


def test_default_policies_equal_those_of_buildkitd(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Large:
        f_blocks, f_frsize = 250_000_000, 4096

    monkeypatch.setattr(os, "statvfs", lambda path: Large)
    assert sized_policies(GcConfig(enabled=False), "/") == ()
    easy, old, rest, everything = sized_policies(GcConfig(), "/")
    assert easy == SizedPolicy(
        False,
        ("type==source.local", "type==exec.cachemount", "type==source.git.checkout"),
        172_800.0,
        0,
        512_000_000,
        0,
    )
    free = (Large.f_blocks * Large.f_frsize // 5 // (1 << 30) + 1) * GB
    assert old == SizedPolicy(False, (), 60 * 86_400.0, 10 * GB, 100 * GB, free)
    assert rest == old._replace(keep_duration=0.0)
    assert everything == rest._replace(all=True)
    limited = sized_policies(GcConfig(max_used=DiskSpace(7)), "/")
    assert [policy.max_used for policy in limited] == [512_000_000, 7, 7, 7]
    own = GcPolicy(True, ("inuse",), 5.0, DiskSpace(1), DiskSpace(2), DiskSpace(3))
    assert sized_policies(GcConfig(policies=(own,)), "/") == (
        SizedPolicy(True, ("inuse",), 5.0, 1, 2, 3),
    )
    with pytest.raises(InvalidInput):
        sized_policies(GcConfig(policies=(GcPolicy(filters=("a=b",)),)), "/")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("id==abc", True),
        ("type==exec.cachemount", True),
        ('description~="mount"', True),
        ("mutable", True),
        ("immutable", False),
        ("inuse", False),
        ("private", True),
        ("shared", False),
        ("parents", False),
        ("unknown", False),
    ],
)
def test_filters_of_records(text: str, expected: bool) -> None:
    assert record_matches(parse_filters([text]), RECORD) is expected


def test_rules_match_cache_records() -> None:
    rule = prune_rule(SizedPolicy(False, (), 3600.0, 1, 2, 3))
    assert rule[1:] == (False, 1, 2, 3)
    assert rule.matches(RECORD)
    assert not rule.matches(RECORD._replace(last_used=time.time()))
    assert not rule.matches(RECORD._replace(type="internal"))
    assert not rule.matches(RECORD._replace(shared=True))
    assert prune_rule(SizedPolicy(True, (), 0.0, 0, 0, 0)).matches(RECORD._replace(shared=True))


def fill(store: Store, count: int) -> None:
    snapshots = SnapshotStore(store)
    with store.shared():
        for _ in range(count):
            staged = snapshots.stage()
            with open(os.path.join(staged.files, "x"), "wb") as file:
                file.write(bytes(20_000))
            snapshots.commit(staged, None)


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_collections_follow_builds_and_end_with_their_owner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gc, "_AFTER_BUILD", 0.0)
    monkeypatch.setattr(gc, "_BETWEEN", 0.0)
    with open_store(str(tmp_path)) as store:
        fill(store, 4)
        folder = store.path("snapshots")
        with Collector(store, [SizedPolicy(True, (), 0.0, 0, 50_000, 0)], QUIET) as collector:
            time.sleep(0.05)
            assert len(os.listdir(folder)) == 4
            collector.wake()
            wait_until(lambda: len(os.listdir(folder)) == 2)
            fill(store, 2)
            collector.wake()
            wait_until(lambda: len(os.listdir(folder)) == 2)
        assert "gc" not in {thread.name for thread in threading.enumerate()}
        with Collector(store, [], QUIET) as nothing:
            nothing.wake()

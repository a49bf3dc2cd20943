from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from lamina.api.history import BuildHistoryRecord
from lamina.base.errors import InvalidInput
from lamina.records.expiry import expire_sometimes
from lamina.records.recorder import BuildRecorder
from lamina.records.retention import Retention, configured_retention
from lamina.records.table import RecordTable
from lamina.stores.store import open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from lamina.stores.store import Store
    from tests.commands import Lamina


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "lamina.toml"
    monkeypatch.setenv("LAMINA_CONFIG", str(path))
    return path


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(str(tmp_path / "store")) as store:
        yield store


def record(store: Store, *refs: str) -> RecordTable:
    table = RecordTable(store)
    for ref in refs:
        with BuildRecorder(store, table, BuildHistoryRecord(ref)):
            pass
    return table


def test_the_configuration_file(config: Path) -> None:
    assert configured_retention() == Retention()
    config.write_text("[registry]\n")
    assert configured_retention() == Retention()
    config.write_text("[history]\nmaxAge = '2h'\nmaxEntries = 5\nmaxSize = '1MB'\n")
    assert configured_retention() == Retention(7200.0, 5, 1 << 20)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[history]\nmaxSize = '10%'", "history.maxSize must be a number of bytes or a size"),
        ("[history]\nmaxSize = -1", "history.maxSize must be"),
        ("[history]\nmaxEntries = 'x'", "history.maxEntries must be a whole number"),
        ("[history", "lamina.toml: "),
    ],
)
def test_an_invalid_file(config: Path, text: str, reason: str) -> None:
    config.write_text(text)
    with pytest.raises(InvalidInput) as caught:
        configured_retention()
    assert reason in str(caught.value)


def test_records_expire_after_builds_at_most_once_an_hour(store: Store, config: Path) -> None:
    config.write_text("[history]\nmaxEntries = 1\n")
    table = record(store, "a", "b")
    expire_sometimes(store, table)
    assert [row.ref for row in table.rows()] == ["b"]
    record(store, "c", "d")
    expire_sometimes(store, table)
    assert len(table.rows()) == 3
    an_hour_ago = time.time() - 3601
    os.utime(store.path("records/expired"), (an_hour_ago, an_hour_ago))
    expire_sometimes(store, table)
    assert [row.ref for row in table.rows()] == ["d"]


def test_an_invalid_file_deletes_nothing_after_a_build(store: Store, config: Path) -> None:
    config.write_text("[history]\nmaxSize = '10%'\n")
    table = record(store, "a")
    expire_sometimes(store, table)
    assert [row.ref for row in table.rows()] == ["a"]


def test_builds_and_prune_apply_it(
    lamina: Lamina, context: Callable[..., Path], config: Path
) -> None:
    config.write_text("[history]\nmaxEntries = 2\n")
    folder = context("FROM base\n")
    for _ in range(4):
        lamina.build(folder)
    assert len(lamina("history", "ls").out.splitlines()) == 1 + 4  # within the hour
    assert lamina("prune", "-f").code == 0
    assert len(lamina("history", "ls").out.splitlines()) == 1 + 2
    config.write_text("[history]\nmaxAge = 'soon'\n")
    done = lamina("prune", "-f")
    assert done.code == 1 and "history.maxAge must be" in done.err

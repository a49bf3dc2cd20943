"""Trees much deeper than Python's stack or the number of descriptors that a process may have."""

from __future__ import annotations

import io
import os
import resource
import stat
from typing import TYPE_CHECKING
from unittest.mock import Mock, patch

import pytest

from lamina.layers.apply import Whiteouts, apply_layer
from lamina.layers.diff import (
    changed_members,
    drop_unchanged,
    portable,
    tree_members,
    upper_members,
)
from lamina.layers.entry import Entry
from lamina.layers.writer import END, header
from lamina.system.cancel import Cancellation
from lamina.system.removal import discard_tree

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DEPTH = 1800
PATH = "/".join("d" * DEPTH)
FOLDERS = ["/".join("d" * depth) for depth in range(1, DEPTH + 1)]


@pytest.fixture(autouse=True)
def few_descriptors() -> Iterator[None]:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (400, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@pytest.fixture(autouse=True)
def cleaned(tmp_path: Path) -> Iterator[None]:
    """pytest itself cannot remove such trees."""
    yield
    discard_tree(str(tmp_path))


@pytest.fixture
def lower(tmp_path: Path) -> str:
    entries = [
        Entry(f"{PATH}/file", stat.S_IFREG | 0o644),
        Entry("d/d/other", stat.S_IFREG | 0o644),
        Entry(f"{PATH}/name", stat.S_IFREG | 0o644, hard_link="d/d/other"),
    ]
    return unpacked(tmp_path / "lower", [], *entries)


def unpacked(folder: Path, lowers: list[str], *entries: Entry) -> str:
    folder.mkdir()
    stream = io.BytesIO(b"".join(header(entry) for entry in entries) + END)
    apply_layer(stream, str(folder), Whiteouts.OVERLAY, Cancellation(), lowers)
    return str(folder)


def test_a_tree_is_packed(lower: str) -> None:
    members = [entry for entry, _ in tree_members(lower)]
    assert [entry.path for entry in members if entry.kind == stat.S_IFDIR] == FOLDERS
    files = {entry.path: entry.hard_link for entry in members if entry.kind == stat.S_IFREG}
    assert files == {
        f"{PATH}/file": "",
        f"{PATH}/name": "",
        "d/d/other": f"{PATH}/name",
    }


def test_a_difference_is_packed(lower: str, tmp_path: Path) -> None:
    new = Entry(f"{PATH}/new", stat.S_IFREG | 0o644)
    upper = unpacked(tmp_path / "upper", [lower], new)
    expected = [*FOLDERS, f"{PATH}/new"]
    assert [entry.path for entry, _ in upper_members(upper, [lower])] == expected
    assert portable(upper, [lower])
    changes = [entry.path for entry, _ in changed_members(lower, upper)]
    assert changes[-1] == "d/d/.wh.other"
    assert {f"{PATH}/new", f"{PATH}/.wh.file"} <= set(changes)
    drop_unchanged(upper, [lower])
    assert os.path.isfile(f"{upper}/{PATH}/new")
    os.unlink(f"{upper}/{PATH}/new")
    times = os.stat(f"{lower}/{PATH}").st_mtime_ns
    os.utime(f"{upper}/{PATH}", ns=(times, times))
    drop_unchanged(upper, [lower])
    assert os.listdir(upper) == []


def test_each_folder_is_opened_but_a_few_times(tmp_path: Path) -> None:
    entries = [Entry(path, stat.S_IFDIR | 0o755) for path in FOLDERS]
    opened = Mock(wraps=os.open)
    with patch("os.open", opened):
        unpacked(tmp_path / "each", [], *entries)
    assert opened.call_count < 4 * DEPTH

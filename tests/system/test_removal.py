"""Walking and removing trees: of any depth, without following links, within one file system."""

from __future__ import annotations

import os
import resource
from typing import TYPE_CHECKING

import pytest

from lamina.system.descent import Descent, walk_tree
from lamina.system.removal import discard_tree, remove_tree

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DEPTH = 12_000  # three times the maximum path length


def make_deep(top: Path, depth: int = DEPTH) -> None:
    top.mkdir()
    with Descent(str(top)) as descent:
        for _ in range(depth):
            os.mkdir("d", dir_fd=descent.fd)
            descent.enter("d")
        os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=descent.fd))


@pytest.fixture(autouse=True)
def cleaned(tmp_path: Path) -> Iterator[None]:
    """pytest itself cannot remove such trees."""
    yield
    discard_tree(str(tmp_path))


@pytest.fixture(autouse=True)
def few_descriptors() -> Iterator[None]:
    before = len(os.listdir("/proc/self/fd"))
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before + 60, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_tree_deeper_than_any_path_is_walked_and_removed(tmp_path: Path) -> None:
    make_deep(tmp_path / "deep")
    visits = ((len(visit.parents), visit.name) for visit in walk_tree(str(tmp_path / "deep")))
    *folders, last = visits
    assert folders == [(depth, "d") for depth in range(DEPTH)]
    assert last == (DEPTH, "file")
    remove_tree(str(tmp_path / "deep"))
    assert os.listdir(tmp_path) == []


def test_a_walk_returns_all_entries_by_name(tmp_path: Path) -> None:
    for name in ("b/x", "a/y/z", "a/b"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    (tmp_path / "a" / "link").symlink_to("/")
    found = [visit.path for visit in walk_tree(str(tmp_path))]
    assert found == ["a", "a/b", "a/link", "a/y", "a/y/z", "b", "b/x"]
    shallow = [visit.path for visit in walk_tree(str(tmp_path), max_depth=1)]
    assert shallow == ["a", "b"]


def test_links_are_removed_and_not_followed(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").write_text("")
    doomed = tmp_path / "doomed"
    doomed.mkdir()
    (doomed / "to-folder").symlink_to(kept)
    (doomed / "to-file").symlink_to(kept / "file")
    os.mkfifo(doomed / "fifo")
    remove_tree(str(doomed))
    assert os.listdir(tmp_path) == ["kept"]
    assert os.listdir(kept) == ["file"]
    (tmp_path / "link").symlink_to(kept)
    remove_tree(str(tmp_path / "link"))
    assert os.listdir(kept) == ["file"]
    remove_tree(str(tmp_path / "link"))  # removed meanwhile


def test_the_rest_is_removed_if_one_file_cannot_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a/held", "a/b/free", "c/free"):
        (tmp_path / "top" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "top" / name).write_text("")
    unlink = os.unlink

    def refuse(path: str, *, dir_fd: int | None = None) -> None:
        if path == "held":
            raise PermissionError(1, "held", path)
        unlink(path, dir_fd=dir_fd)

    monkeypatch.setattr(os, "unlink", refuse)
    with pytest.raises(PermissionError, match="held"):
        remove_tree(str(tmp_path / "top"))
    assert [visit.path for visit in walk_tree(str(tmp_path))] == ["top", "top/a", "top/a/held"]
    discard_tree(str(tmp_path / "top"))
    assert (tmp_path / "top/a/held").exists()


def test_a_directory_that_moves_is_not_climbed_out_of(tmp_path: Path) -> None:
    make_deep(tmp_path / "top", 100)
    (tmp_path / "elsewhere").mkdir()
    with Descent(str(tmp_path / "top")) as descent:
        for _ in range(100):
            descent.enter("d")
        os.rename(tmp_path / "top" / "d" / "d", tmp_path / "elsewhere" / "d")
        with pytest.raises(OSError, match="moved"):
            for _ in range(100):
                descent.leave()

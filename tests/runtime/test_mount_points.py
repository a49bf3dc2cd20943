"""Mount points that a runtime creates are removed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from lamina.runtime import mount_points
from lamina.runtime.mount_points import above, find_stubs, make_folders, remove_stubs
from lamina.system.removal import discard_tree

if TYPE_CHECKING:
    from pathlib import Path

BEFORE, OLD = 1_700_000_000, 1_234_567_890


@pytest.mark.parametrize("touched", [False, True])
def test_removing_stubs_keeps_the_mtime_of_the_directory(tmp_path: Path, touched: bool) -> None:
    folder = tmp_path / "var"
    folder.mkdir()
    os.utime(folder, (BEFORE, BEFORE))
    stubs = find_stubs(str(tmp_path), ["/var/one", "/var/two"])
    (folder / "one").mkdir()
    (folder / "two").mkdir()
    if touched:
        os.utime(folder, (OLD, OLD))
    remove_stubs(str(tmp_path), stubs)
    assert os.listdir(folder) == []
    assert folder.stat().st_mtime == (OLD if touched else BEFORE)


def test_places_at_the_end_of_long_paths(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "l").symlink_to("/real")
    here = "/".join("d" * 700)
    os.makedirs(tmp_path / here)
    below = "/".join("m" * 700)
    targets = [f"/{here}", f"/{here}/{below}", "/l/a", "/l/a/b", "/real"]
    stubs = find_stubs(str(tmp_path), targets)
    discard_tree(str(tmp_path / "d"))  # pytest cannot
    depths = [len(stub.parts) for stub in stubs]
    assert depths == [*range(701, 1401), 2, 3]
    assert [stub.times is None for stub in stubs] == [False, *[True] * 699, False, True]
    assert stubs[-1].parts == ("real", "a", "b")


def test_deep_places_are_made_and_removed_a_part_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    depth, opened = 900, 0
    deep = "/".join("m" * depth)
    stubs = find_stubs(str(tmp_path), [f"/{deep}", "/m/m/side/way", "/other"])
    real = os.open

    def counted(*args: Any, **options: Any) -> int:
        nonlocal opened
        opened += 1
        return real(*args, **options)

    monkeypatch.setattr(os, "open", counted)
    make_folders(str(tmp_path), above(stubs))
    assert len(list(os.walk(tmp_path))) == depth + 1  # the runtime creates the last ones
    made = tmp_path / "/".join("m" * (depth - 1))
    (made / "m").mkdir()
    (tmp_path / "m/m/side/way").mkdir()
    (tmp_path / "other").touch()
    remove_stubs(str(tmp_path), stubs)
    assert os.listdir(tmp_path) == []
    assert opened < 6 * depth


def test_no_link_that_a_step_made_is_followed(tmp_path: Path) -> None:
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    root.mkdir()
    stubs = find_stubs(str(root), ["/a/b/c/d", "/a/x"])
    make_folders(str(root), above(stubs))
    (root / "a/b/c/d").mkdir()
    (root / "a/x").mkdir()
    (root / "a/b/c").rename(root / "kept")
    (elsewhere / "c/d").mkdir(parents=True)
    (root / "a/b").rmdir()
    (root / "a/b").symlink_to(elsewhere)
    remove_stubs(str(root), stubs)
    assert (elsewhere / "c/d").is_dir()
    assert sorted(os.listdir(root / "a")) == ["b"]
    assert (root / "kept/d").is_dir()


def test_folders_that_were_copied_up_are_found_from_the_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An overlay may give a directory another inode when something in it changes."""
    numbers = iter(range(10_000))
    monkeypatch.setattr(mount_points, "_identity", lambda fd: (0, next(numbers)))
    stubs = find_stubs(str(tmp_path), ["/a/b/c", "/a/d/e"])
    make_folders(str(tmp_path), [stub.parts for stub in stubs])
    assert (tmp_path / "a/b/c").is_dir()
    assert (tmp_path / "a/d/e").is_dir()
    remove_stubs(str(tmp_path), stubs)
    assert os.listdir(tmp_path) == []

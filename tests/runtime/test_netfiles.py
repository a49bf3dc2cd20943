"""Places to mount on that a runtime makes leave nothing behind."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from lamina.runtime.netfiles import find_stubs, remove_stubs
from lamina.system.removal import discard_tree

if TYPE_CHECKING:
    from pathlib import Path

BEFORE, OLD = 1_700_000_000, 1_234_567_890


@pytest.mark.parametrize("touched", [False, True])
def test_a_folder_keeps_the_time_that_the_step_gave_it(tmp_path: Path, touched: bool) -> None:
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

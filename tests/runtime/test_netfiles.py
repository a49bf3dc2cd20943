"""Places to mount on that a runtime makes leave nothing behind."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from lamina.runtime.netfiles import find_stubs, remove_stubs

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

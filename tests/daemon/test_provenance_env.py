"""Fields that the administrator adds to provenance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lamina.base.errors import InvalidInput
from lamina.daemon.provenance_env import load_provenance_env

if TYPE_CHECKING:
    from pathlib import Path


def test_all_files_together(tmp_path: Path) -> None:
    assert load_provenance_env(str(tmp_path / "none")) == {}
    (tmp_path / "1.json").write_text('{"foo": "old", "site": {"rack": 7}}')
    (tmp_path / "2.json").write_text('{"foo": "bar"}')
    (tmp_path / "notes.txt").write_text("no JSON")
    (tmp_path / "folder.json").mkdir()
    assert load_provenance_env(str(tmp_path)) == {"foo": "bar", "site": {"rack": 7}}


@pytest.mark.parametrize("text", ["[1]", "{", '"x"', "\xff", '{"builderPlatform": "mine"}'])
def test_members_that_a_builder_cannot_add(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.json").write_text(text, encoding="latin-1")
    with pytest.raises(InvalidInput):
        load_provenance_env(str(tmp_path))

from __future__ import annotations

import json
import os
import threading
from base64 import b64encode
from typing import TYPE_CHECKING

import pytest

from lamina.client.token_seeds import TokenSeeds

if TYPE_CHECKING:
    from pathlib import Path


def test_seeds_last_and_differ(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "docker"
    seeds = TokenSeeds(str(folder))
    one = seeds.of("one.example")
    assert seeds.of("one.example") == one
    assert len(one) == 16
    assert seeds.of("two.example") != one
    assert TokenSeeds(str(folder)).of("one.example") == one
    assert (folder / ".token_seed").stat().st_mode & 0o777 == 0o600
    assert {path.name for path in folder.iterdir()} == {".token_seed", ".token_seed.lock"}


def test_existing_seeds_stay(tmp_path: Path) -> None:
    seed = b"sixteen bytes..."
    file = tmp_path / ".token_seed"
    file.write_text(json.dumps({"a.example": {"Seed": b64encode(seed).decode()}}))
    seeds = TokenSeeds(str(tmp_path))
    assert seeds.of("a.example") == seed
    seeds.of("b.example")
    assert TokenSeeds(str(tmp_path)).of("a.example") == seed


@pytest.mark.parametrize("text", ["", "{", "[]", '{"h": 1}', '{"h": {"Seed": "%"}}', '{"h": {}}'])
def test_unreadable_seeds_are_replaced(tmp_path: Path, text: str) -> None:
    (tmp_path / ".token_seed").write_text(text)
    seed = TokenSeeds(str(tmp_path)).of("h")
    assert len(seed) == 16
    assert TokenSeeds(str(tmp_path)).of("h") == seed


def test_seeds_are_kept_in_memory_if_the_directory_is_unusable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    seeds = TokenSeeds(str(tmp_path / "file" / "docker"))
    assert seeds.of("h") == seeds.of("h")
    assert TokenSeeds(os.devnull).of("h") != seeds.of("h")


def test_many_at_once_agree(tmp_path: Path) -> None:
    found: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: found.append(TokenSeeds(str(tmp_path)).of("h")))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1

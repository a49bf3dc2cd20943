"""Subordinate IDs, and the values of a user namespace. `tests/rootless` enters one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.system.user_namespace import IdMap, IdRange, current_ids, owner_ranges

if TYPE_CHECKING:
    from pathlib import Path


def test_ranges_are_found_by_name_and_number(tmp_path: Path) -> None:
    path = tmp_path / "subuid"
    path.write_text("me:100:10\nyou:200:10\n1000:300:5\nme:x:1\nme:400:0\n\n:1:1\nme:500\n")
    assert owner_ranges(str(path), "me", 1000) == [(100, 10), (300, 5)]
    assert owner_ranges(str(path), "", 7) == []
    assert owner_ranges(str(tmp_path / "missing"), "me", 1000) == []


def test_ids_of_a_namespace() -> None:
    ids = IdMap((IdRange(0, 1000, 1), IdRange(1, 100_000, 9)), (IdRange(0, 1000, 1),))
    assert [ids.has_uid(uid) for uid in (0, 9, 10)] == [True, True, False]
    assert [ids.has_gid(gid) for gid in (0, 1)] == [True, False]
    assert not ids.only_root
    assert str(ids) == "0:1000:1,1:100000:9;0:1000:1"
    assert IdMap(ids.gids, ids.gids).only_root


def test_root_of_the_machine_has_all_ids() -> None:
    assert current_ids() is None

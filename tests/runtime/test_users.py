"""Names are only looked up beneath the root file system."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.base.errors import LaminaError, NotFound
from lamina.runtime.users import Identity, beneath, find_identity

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def rootfs(tmp_path: Path) -> str:
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (root / "etc" / "passwd").write_text(
        "# comment\nroot:x:0:0:root:/root:/bin/sh\nbroken\nme:x:7:8::/home/me:/bin/sh\n"
        "42:x:1000:1000::/odd:\n"
    )
    (root / "etc" / "group").write_text("root:x:0:\nmine:x:8:me\nmore:x:9:you,me\nbad:x::me\n")
    return str(root)


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ("", Identity(0, 0, (), "/root")),
        ("root", Identity(0, 0, (), "/root")),
        ("me", Identity(7, 8, (9,), "/home/me")),
        ("7", Identity(7, 8, (9,), "/home/me")),
        ("me:more", Identity(7, 9, (), "/home/me")),
        ("me:77", Identity(7, 77, (), "/home/me")),
        ("555", Identity(555, 0, (), "/")),
        ("555:mine", Identity(555, 8, (), "/")),
    ],
)
def test_identities(rootfs: str, user: str, expected: Identity) -> None:
    assert find_identity(rootfs, user) == expected


@pytest.mark.parametrize("user", ["who", "me:who", "-1", "4294967296", "0:4294967296"])
def test_unknown_users_are_not_found(rootfs: str, user: str) -> None:
    with pytest.raises(NotFound):
        find_identity(rootfs, user)


@given(st.text(max_size=20))
def test_any_text_is_answered(text: str) -> None:
    try:
        identity = find_identity("/nonexistent", text)
    except LaminaError:
        return
    assert 0 <= identity.uid < 1 << 32
    assert 0 <= identity.gid < 1 << 32


def test_links_do_not_lead_out(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "a").mkdir(parents=True)
    (root / "out").symlink_to("/etc")
    (root / "up").symlink_to("../../../../x")
    (root / "a" / "loop").symlink_to("loop")
    assert beneath(str(root), "out/passwd") == f"{root}/etc/passwd"
    assert beneath(str(root), "up/y") == f"{root}/x/y"
    assert beneath(str(root), "a/../../../b") == f"{root}/b"
    assert beneath(str(root), "a/loop/x").startswith(f"{root}/")


def test_a_fifo_instead_of_passwd_does_not_block(tmp_path: Path) -> None:
    import os

    (tmp_path / "etc").mkdir()
    os.mkfifo(tmp_path / "etc" / "passwd")
    assert find_identity(str(tmp_path), "5").uid == 5

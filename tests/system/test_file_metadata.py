"""Metadata in extended attributes: owners, devices, links, and what a step may forge."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from lamina.system.file_metadata import KERNEL_METADATA, OverriddenMetadata
from lamina.system.user_namespace import IdMap, IdRange

if TYPE_CHECKING:
    from pathlib import Path

_RANGES = (IdRange(0, 1000, 1), IdRange(1, 100_000, 9))
METADATA = OverriddenMetadata(IdMap(_RANGES, _RANGES))


def seen(path: Path) -> os.stat_result:
    return METADATA.status(str(path), os.lstat(path))


@pytest.mark.parametrize("kind", ["file", "folder", "link", "pipe"])
@pytest.mark.parametrize("owner", [(0, 0), (5, 9), (10, 0), (3, 4_000_000), (70_000, 80_000)])
def test_owners_are_kept(tmp_path: Path, kind: str, owner: tuple[int, int]) -> None:
    path = tmp_path / kind
    if kind == "file":
        path.write_text("x")
    elif kind == "folder":
        path.mkdir()
    elif kind == "link":
        path.symlink_to("nowhere")
    if kind == "pipe":
        METADATA.make_node(str(path), stat.S_IFIFO | 0o640, 0, owner)
    else:
        METADATA.own(str(path), *owner)
    found = seen(path)
    assert (found.st_uid, found.st_gid) == owner
    assert found.st_mtime_ns == os.lstat(path).st_mtime_ns
    real = os.lstat(path)
    assert real.st_uid in (owner[0], 0)
    for name in os.listxattr(path, follow_symlinks=False):
        assert METADATA.hides(name, found.st_mode)
    METADATA.own(str(path), 7, 8)
    assert (seen(path).st_uid, seen(path).st_gid) == (7, 8)


@pytest.mark.parametrize("kind", [stat.S_IFCHR, stat.S_IFBLK])
def test_devices_are_kept(tmp_path: Path, kind: int) -> None:
    path = tmp_path / "device"
    METADATA.make_node(str(path), kind | 0o620, os.makedev(8, 17), (5, 90))
    assert stat.S_ISREG(os.lstat(path).st_mode)
    found = seen(path)
    assert (found.st_mode, found.st_rdev) == (kind | 0o620, os.makedev(8, 17))
    assert (found.st_uid, found.st_gid) == (5, 90)
    os.chmod(path, 0o600)
    assert seen(path).st_mode == kind | 0o600


@pytest.mark.parametrize(
    "value",
    [b"", b"1", b"-1:0", b"1:4294967295", b"9" * 40 + b":1", b"\xff:1", b"1:2:3:4:5"],
)
def test_malformed_values_are_ignored(tmp_path: Path, value: bytes) -> None:
    path = tmp_path / "file"
    path.touch()
    os.setxattr(path, "user.lamina.stat", value)
    assert stat.S_ISREG(seen(path).st_mode)
    assert seen(path).st_uid in (0, 1)


@pytest.mark.parametrize("device", [b"char-1", b"char-x-1", b"disk-1-1", b"char-4096-0"])
def test_malformed_devices_are_files(tmp_path: Path, device: bytes) -> None:
    path = tmp_path / "file"
    path.touch()
    os.setxattr(path, "user.lamina.stat", b"20:30:" + device)
    assert stat.S_ISREG(seen(path).st_mode)
    assert seen(path).st_uid == 20


def test_root_s_metadata_is_the_kernel_s(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    os.setxattr(path, "user.lamina.stat", b"20:30")
    status = os.lstat(path)
    assert KERNEL_METADATA.status(str(path), status) is status
    assert not KERNEL_METADATA.hides("user.lamina.stat", status.st_mode)
    assert KERNEL_METADATA.hides("trusted.overlay.opaque", status.st_mode)

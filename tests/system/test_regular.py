"""Untrusted files are opened without waiting, and only if they are regular files."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from lamina.base.errors import InvalidInput
from lamina.system.directory import make_directory
from lamina.system.regular import open_regular, open_regular_beneath, read_regular

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def things(tmp_path: Path) -> Path:
    (tmp_path / "file").write_text("content")
    os.mkfifo(tmp_path / "fifo")
    os.mkdir(tmp_path / "folder")
    (tmp_path / "folder" / "inner").write_text("inner")
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "to-folder").symlink_to("folder")
    (tmp_path / "device").symlink_to("/dev/zero")
    return tmp_path


@pytest.mark.parametrize("name", ["fifo", "folder", "link", "device", "to-folder"])
def test_only_regular_files_are_opened(things: Path, name: str) -> None:
    before = os.listdir("/proc/self/fd")
    with pytest.raises(InvalidInput, match=f"{name} is not a regular file"):
        open_regular(str(things / name))
    with pytest.raises(InvalidInput):
        open_regular_beneath(str(things), name)
    assert len(os.listdir("/proc/self/fd")) == len(before)


def test_files_are_read_to_their_limit(things: Path) -> None:
    assert read_regular(str(things / "file"), 7) == b"content"
    assert read_regular(str(things / "link"), 7, follow=True) == b"content"
    with pytest.raises(InvalidInput, match="larger than 6 bytes"):
        read_regular(str(things / "file"), 6)
    for name in ("fifo", "device"):
        with pytest.raises(InvalidInput, match="not a regular file"):
            read_regular(str(things / name), 100, follow=True)
    with pytest.raises(FileNotFoundError):
        read_regular(str(things / "nothing"), 7)


def test_no_folder_below_is_reached_through_a_link(things: Path) -> None:
    with open(open_regular_beneath(str(things), "folder/inner"), "rb") as file:
        assert file.read() == b"inner"
    with pytest.raises(OSError) as refused:
        open_regular_beneath(str(things), "to-folder/inner")
    assert refused.value.filename == str(things / "to-folder/inner")


@pytest.mark.parametrize("umask", [0o022, 0o077, 0])
def test_directories_have_the_mode_they_are_given(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        make_directory(str(tmp_path / "a"))
        make_directory(str(tmp_path / "b"), 0o711)
    finally:
        os.umask(before)
    modes = [(tmp_path / name).stat().st_mode & 0o7777 for name in "ab"]
    assert modes == [0o755, 0o711]

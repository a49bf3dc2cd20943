"""Paths that are resolved beneath a directory, and mounting their targets."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from lamina.system.mount_tree import make_folder_in_root, open_in_root
from lamina.system.removal import discard_tree

if TYPE_CHECKING:
    from pathlib import Path

PRELUDE = """
import os, sys
from lamina.base.errors import LaminaError
from lamina.system.mount import *
from lamina.system.mount_tree import *
private_namespace()
base = sys.argv[1]
"""


def in_namespace(script: str, *args: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE + script, *args], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "in").mkdir(parents=True)
    (root / "in" / "file").write_text("inside")
    (root / "absolute").symlink_to("/in")
    (root / "climbing").symlink_to("../../../in")
    (root / "out").symlink_to(tmp_path)
    return root


def opened(root: Path, path: str) -> str:
    fd = open_in_root(str(root), path)
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    finally:
        os.close(fd)


@pytest.mark.parametrize(
    "path", ["in", "/in", "absolute", "climbing", "../../in", "in/../../in", "in/."]
)
def test_links_stay_inside(root: Path, path: str) -> None:
    assert opened(root, path) == str(root / "in")


@pytest.mark.parametrize("path", ["out", "missing", "in/missing", "out/root"])
def test_missing_sources(root: Path, path: str) -> None:
    with pytest.raises(FileNotFoundError):
        opened(root, path)


def test_magic_links_are_refused(root: Path) -> None:
    (root / "magic").symlink_to("/proc/self/root")
    with pytest.raises(FileNotFoundError):
        opened(root, "magic")
    with pytest.raises(OSError, match="Too many levels"):
        os.close(open_in_root("/", "proc/self/root"))


def test_directories_are_made_only_inside_the_root(root: Path, tmp_path: Path) -> None:
    os.close(make_folder_in_root(str(root), "absolute/new/../other//deep"))
    assert (root / "in" / "other" / "deep").is_dir()
    assert (root / "in" / "other").stat().st_mode & 0o777 == 0o755
    with pytest.raises(FileNotFoundError):
        make_folder_in_root(str(root), "out/new")
    with pytest.raises(NotADirectoryError):
        make_folder_in_root(str(root), "in/file/new")
    assert sorted(os.listdir(tmp_path)) == ["root"]


def test_a_link_that_changes_concurrently_never_escapes_the_root(
    root: Path, tmp_path: Path
) -> None:
    """For half a second, as a step with the same cache mount could try."""
    (tmp_path / "outside").mkdir()
    (root / "sub").mkdir()
    (root / "link").symlink_to(tmp_path / "outside")
    ended = threading.Event()

    def swap() -> None:
        while not ended.is_set():
            with suppress(OSError):  # `sub` may have been created meanwhile
                os.rename(root / "sub", root / "kept")
                os.rename(root / "link", root / "sub")
                os.rename(root / "sub", root / "link")
                os.rename(root / "kept", root / "sub")
            if not (root / "link").is_symlink():
                (root / "link").symlink_to(tmp_path / "outside")

    thread = threading.Thread(target=swap)
    thread.start()
    found, tries = set(), 0
    try:
        deadline = time.monotonic() + 0.5
        while time.monotonic() < deadline:
            tries += 1
            try:
                found.add(opened(root, "sub"))
                os.close(make_folder_in_root(str(root), "sub/made"))
            except (FileNotFoundError, NotADirectoryError):
                continue
    finally:
        ended.set()
        thread.join()
    assert tries > 100
    assert found <= {str(root / "sub"), str(root / "kept")}
    assert os.listdir(tmp_path / "outside") == []


def test_the_opened_source_is_mounted_if_its_name_changes(root: Path, tmp_path: Path) -> None:
    (tmp_path / "places").mkdir()
    script = """
fd = open_in_root(base + "/root", "in")
os.rename(base + "/root/in", base + "/root/moved")
os.symlink("/etc", base + "/root/in")
with mounted(fd, base + "/places") as place:
    print(os.listdir(place))
    one = os.open(place + "/file", os.O_PATH)
    with mounted(one, base + "/places") as file:
        print(open(file).read())
    os.close(one)
print(os.listdir(base + "/places"))
"""
    assert in_namespace(script, str(tmp_path)) == "['file']\ninside\n[]\n"


def test_an_owner_is_shown_as_root_and_others_as_nobody(root: Path, tmp_path: Path) -> None:
    (tmp_path / "places").mkdir()
    (root / "other").touch()
    os.chown(root / "in", 1234, 1235)
    script = """
fd = open_in_root(base + "/root", "")
with mounted(fd, base + "/places", owner=(1234, 1235)) as place:
    for name in ("in", "other"):
        status = os.stat(place + "/" + name)
        print(status.st_uid, status.st_gid)
"""
    assert in_namespace(script, str(tmp_path)) == "0 0\n65534 65534\n"


def test_mounts_below_the_tree_are_not_visible(root: Path, tmp_path: Path) -> None:
    (tmp_path / "places").mkdir()
    (root / "a b").mkdir()
    script = """
print(mounts_below(base + "/root"))
mount("tmpfs", base + "/root/a b", "tmpfs")
open(base + "/root/a b/file", "w").close()
print(mounts_below(base + "/root"), mounts_below(base + "/root/a b"), mounts_below(base + "/roo"))
fd = open_in_root(base + "/root", "")
with mounted(fd, base + "/places") as place:
    print(os.listdir(place + "/a b"))
    mount("tmpfs", base + "/root/in", "tmpfs")
    print(os.listdir(place + "/in"))
"""
    shown = in_namespace(script, str(tmp_path))
    assert shown == "False\nTrue False False\n[]\n['file']\n"


def test_a_folder_is_made_deeper_than_the_stack(root: Path) -> None:
    path = "/".join("d" * 1500)
    try:
        os.close(make_folder_in_root(str(root), path))
        assert opened(root, path).endswith(path)
    finally:
        discard_tree(str(root / "d"))

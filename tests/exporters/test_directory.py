from __future__ import annotations

import io
import os
import stat
import subprocess
import tarfile
from typing import TYPE_CHECKING

import pytest

from lamina.base.errors import Cancelled, InvalidInput
from lamina.exporters.contract import ExportedTree
from lamina.exporters.directory import export_directory
from lamina.exporters.tar import export_tar
from lamina.system.cancel import Cancellation

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree with one file of each kind."""
    root = tmp_path / "tree"
    (root / "sub/deep").mkdir(parents=True)
    (root / "file").write_text("content")
    (root / "tool").write_bytes(b"#!/bin/sh\n")
    (root / "tool").chmod(0o4755)
    os.chown(root / "tool", 12, 34)
    (root / "tool").chmod(0o4755)
    (root / "sub/link").symlink_to("../file")
    (root / "sub/broken").symlink_to("/no/where")
    os.link(root / "file", root / "sub/deep/again")
    with (root / "sparse").open("wb") as file:
        file.seek(50 << 20)
        file.write(b"end")
    os.mkfifo(root / "fifo", 0o640)
    os.setxattr(root / "file", "user.note", b"hello")
    (root / "odd \udcff name").write_text("bytes")
    (root / "sub").chmod(0o2750)
    for path in (root / "file", root / "sub"):
        os.utime(path, ns=(0, 1_234_567_890_123_456_789))
    os.utime(root / "sub/link", ns=(0, 5_000_000_001), follow_symlinks=False)
    return root


def test_everything_arrives(tree: Path, tmp_path: Path) -> None:
    out = tmp_path / "out/new"
    steps: list[int] = []
    copied = export_directory(str(tree), str(out), Cancellation(), progress=steps.append)
    assert steps[-1] == copied
    assert (out / "file").read_text() == "content"
    assert (out / "odd \udcff name").read_text() == "bytes"
    assert os.readlink(out / "sub/link") == "../file"
    assert os.readlink(out / "sub/broken") == "/no/where"
    tool = (out / "tool").stat()
    assert stat.S_IMODE(tool.st_mode) == 0o4755
    assert (tool.st_uid, tool.st_gid) == (os.getuid(), os.getgid())
    assert (out / "file").samefile(out / "sub/deep/again")
    assert (out / "sparse").stat().st_size == (50 << 20) + 3
    assert (out / "sparse").stat().st_blocks * 512 < 1 << 20
    assert stat.S_ISFIFO((out / "fifo").stat().st_mode)
    assert stat.S_IMODE((out / "fifo").stat().st_mode) == 0o640
    assert os.getxattr(out / "file", "user.note") == b"hello"
    assert (out / "file").stat().st_mtime_ns == 1_234_567_890_123_456_789
    assert (out / "sub").stat().st_mtime_ns == 1_234_567_890_123_456_789
    assert stat.S_IMODE((out / "sub").stat().st_mode) == 0o2750
    assert (out / "sub/link").lstat().st_mtime_ns == 5_000_000_001


def test_an_export_replaces_existing_files(tree: Path, tmp_path: Path) -> None:
    out, outside = tmp_path / "out", tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("kept")
    (outside / "file").write_text("kept")
    out.mkdir()
    (out / "mine").write_text("mine")
    (out / "sub").symlink_to(outside)  # a link instead of a directory
    (out / "file").symlink_to(outside / "file")  # a link instead of a file
    (out / "tool").mkdir()  # a directory instead of a file
    (out / "tool/inner").write_text("x")
    (out / "fifo").symlink_to(outside / "fresh")
    for _ in range(2):
        export_directory(str(tree), str(out), Cancellation())
    assert sorted(os.listdir(outside)) == ["file", "kept"]
    assert (outside / "file").read_text() == "kept"
    assert (out / "mine").read_text() == "mine"
    assert not (out / "sub").is_symlink()
    assert (out / "tool").is_file()
    export_directory(str(tree), str(out), Cancellation(), delete=True)
    assert not (out / "mine").exists()
    assert sorted(os.listdir(out)) == sorted(os.listdir(tree))


def test_dest_may_be_a_link_to_a_folder(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    export_directory(str(tree), str(tmp_path / "link"), Cancellation())
    assert (tmp_path / "real/file").exists()
    with pytest.raises(InvalidInput):
        export_directory(str(tree), str(tree / "file"), Cancellation())


def test_epoch_empty_result_and_cancellation(tree: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export_directory(str(tree), str(out), Cancellation(), epoch=77)
    found = {p.lstat().st_mtime_ns for p in out.rglob("*")}
    assert found == {77_000_000_000}
    assert export_directory(None, str(out), Cancellation(), delete=True) == 0
    assert os.listdir(out) == []
    cancel = Cancellation()
    cancel.cancel()
    with pytest.raises(Cancelled):
        export_directory(str(tree), str(out), cancel)
    assert os.listdir(out) == []


def test_tar(tree: Path, tmp_path: Path) -> None:
    out = io.BytesIO()
    export_tar([ExportedTree("", str(tree), epoch=77)], out, Cancellation())
    again = io.BytesIO()
    export_tar([ExportedTree("", str(tree), epoch=77)], again, Cancellation())
    assert out.getvalue() == again.getvalue()
    (tmp_path / "t.tar").write_bytes(out.getvalue())
    unpacked = tmp_path / "unpacked"
    unpacked.mkdir()
    subprocess.run(["tar", "-xpf", str(tmp_path / "t.tar"), "-C", str(unpacked)], check=True)
    assert (unpacked / "file").read_text() == "content"
    assert (unpacked / "file").samefile(unpacked / "sub/deep/again")
    assert (unpacked / "tool").stat().st_uid == 12
    with tarfile.open(tmp_path / "t.tar") as tar:
        assert {member.mtime for member in tar} == {77}
    empty = io.BytesIO()
    export_tar([ExportedTree("", None)], empty, Cancellation())
    (tmp_path / "empty.tar").write_bytes(empty.getvalue())
    with tarfile.open(tmp_path / "empty.tar") as tar:
        assert tar.getnames() == []


def test_tar_of_several_platforms(tree: Path) -> None:
    out = io.BytesIO()
    trees = [ExportedTree("linux_amd64", str(tree)), ExportedTree("linux_arm64", None)]
    export_tar(trees, out, Cancellation())
    out.seek(0)
    with tarfile.open(fileobj=out) as tar:
        names = tar.getnames()
    below = [name for name in names if name.startswith("linux_amd64/")]
    assert sorted({*below, "linux_amd64", "linux_arm64"}) == sorted(names)
    assert len(below) >= 3

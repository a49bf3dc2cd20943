"""Layers keep all metadata, and third-party tar reads the same."""

from __future__ import annotations

import errno
import io
import os
import shutil
import stat
import subprocess
import threading
from typing import TYPE_CHECKING

import pytest

from lamina.base.errors import Corrupt
from lamina.layers.apply import Whiteouts, apply_layer
from lamina.layers.compression import Algorithm, Compression, parse_compression
from lamina.layers.decompression import decompressed
from lamina.layers.diff import (
    changed_members,
    drop_unchanged,
    portable,
    tree_members,
    upper_members,
)
from lamina.layers.entry import Entry
from lamina.layers.pack import pack
from lamina.layers.reader import TarReader
from lamina.layers.stack import Stack
from lamina.layers.writer import END, header
from lamina.system.cancel import Cancellation

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def make_tree(root: Path) -> None:
    root.mkdir()
    (root / "dir").mkdir()
    (root / "dir" / "file").write_bytes(b"hello\n" * 1000)
    (root / "dir" / ("long" * 40)).write_bytes(b"x")
    (root / "ünïcode").write_bytes(b"")
    (root / "suid").write_bytes(b"#!")
    os.chown(root / "suid", 70000, 5_000_000)
    os.chmod(root / "suid", 0o6755)
    os.link(root / "dir" / "file", root / "hard")
    os.symlink("../" * 60 + "etc/passwd", root / "link")
    os.mknod(root / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.mkfifo(root / "pipe")
    os.setxattr(root / "suid", "user.note", b"a\0b")
    with (root / "sparse").open("wb") as file:
        file.truncate(1 << 20)
    os.utime(root / "dir" / "file", ns=(1, 1_600_000_000_123_456_789))
    os.utime(root / "dir", ns=(5, 1_500_000_000_000_000_001))


def snapshot(root: Path) -> dict[str, tuple[object, ...]]:
    seen: dict[str, tuple[object, ...]] = {}
    for path in sorted(root.rglob("*")):
        s = path.lstat()
        content: object = None
        if stat.S_ISREG(s.st_mode):
            content = path.read_bytes()
        elif stat.S_ISLNK(s.st_mode):
            content = os.readlink(path)
        xattrs = tuple(
            (n, os.getxattr(path, n, follow_symlinks=False))
            for n in os.listxattr(path, follow_symlinks=False)
        )
        nlink = 0 if stat.S_ISDIR(s.st_mode) else s.st_nlink
        seen[str(path.relative_to(root))] = (
            s.st_mode,
            s.st_uid,
            s.st_gid,
            s.st_mtime_ns,
            s.st_rdev,
            nlink,
            content,
            xattrs,
        )
    return seen


@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_a_tree_survives_packing_and_unpacking(tmp_path: Path, algorithm: Algorithm) -> None:
    make_tree(tmp_path / "in")
    blob = io.BytesIO()
    packed = pack(tree_members(str(tmp_path / "in")), blob, Compression(algorithm), Cancellation())
    assert packed.size == len(blob.getvalue())
    (tmp_path / "out").mkdir()
    blob.seek(0)
    applied = apply_layer(
        decompressed(blob), str(tmp_path / "out"), Whiteouts.OVERLAY, Cancellation()
    )
    assert applied == ([], True)
    assert snapshot(tmp_path / "out") == snapshot(tmp_path / "in")


def test_gnu_tar_reads_what_is_packed(tmp_path: Path) -> None:
    make_tree(tmp_path / "in")
    with (tmp_path / "layer.tar.gz").open("wb") as file:
        pack(tree_members(str(tmp_path / "in")), file, Compression(), Cancellation())
    (tmp_path / "out").mkdir()
    subprocess.run(
        ["tar", "-xzpf", tmp_path / "layer.tar.gz", "--xattrs", "--xattrs-include=*"],
        cwd=tmp_path / "out",
        check=True,
    )
    assert snapshot(tmp_path / "out") == snapshot(tmp_path / "in")


def test_archives_of_gnu_tar_are_read(tmp_path: Path) -> None:
    make_tree(tmp_path / "in")
    for form in ("gnu", "pax"):
        data = subprocess.run(
            ["tar", "-cf", "-", f"--format={form}", "--xattrs", "--numeric-owner", "."],
            cwd=tmp_path / "in",
            check=True,
            capture_output=True,
        ).stdout
        out = tmp_path / form
        out.mkdir()
        apply_layer(io.BytesIO(data), str(out), Whiteouts.OVERLAY, Cancellation())
        seen, expected = snapshot(out), snapshot(tmp_path / "in")
        assert seen.keys() == expected.keys()
        if form == "pax":
            assert seen == expected


def test_packing_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    make_tree(tmp_path / "in")
    results = []
    for _ in range(2):
        blob = io.BytesIO()
        pack(tree_members(str(tmp_path / "in")), blob, Compression(), Cancellation())
        results.append(blob.getvalue())
    assert results[0] == results[1]


def test_the_difference_of_two_trees_turns_one_into_the_other(tmp_path: Path) -> None:
    make_tree(tmp_path / "a")
    subprocess.run(["cp", "-a", tmp_path / "a", tmp_path / "b"], check=True)
    (tmp_path / "b" / "suid").unlink()
    (tmp_path / "b" / "dir" / "file").write_bytes(b"other")
    (tmp_path / "b" / "new").mkdir()
    (tmp_path / "b" / "new" / "x").write_bytes(b"1")
    blob = io.BytesIO()
    members = list(changed_members(str(tmp_path / "a"), str(tmp_path / "b")))
    names = [entry.path for entry, _ in members]
    assert ".wh.suid" in names
    assert "sparse" not in names
    pack(members, blob, Compression(Algorithm.NONE), Cancellation())
    blob.seek(0)
    apply_layer(blob, str(tmp_path / "a"), Whiteouts.REMOVE, Cancellation())
    assert sorted(os.listdir(tmp_path / "a")) == sorted(os.listdir(tmp_path / "b"))
    assert (tmp_path / "a" / "dir" / "file").read_bytes() == b"other"


def overlaid(folder: Path) -> tuple[Path, Path]:
    """A directory, and an overlay directory on it that removes files."""
    lower, upper = folder / "lower", folder / "upper"
    (lower / "again" / "sub").mkdir(parents=True)
    for name in ("again/lost", "again/sub/lost", "again/sub/kept", "removed"):
        (lower / name).write_text("below")
    (upper / "again" / "sub").mkdir(parents=True)
    os.setxattr(upper / "again", "trusted.overlay.opaque", b"y")
    (upper / "again" / "sub" / "kept").write_text("above")
    os.mknod(upper / "removed", stat.S_IFCHR, os.makedev(0, 0))
    return lower, upper


def test_whiteouts_of_overlay_directories(tmp_path: Path) -> None:
    lower, upper = overlaid(tmp_path)
    names = [entry.path for entry, _ in upper_members(str(upper), [str(lower)])]
    assert names == [
        "again",
        "again/.wh.lost",
        "again/sub",
        "again/sub/kept",
        "again/sub/.wh.lost",
        ".wh.removed",
    ]
    assert not portable(str(upper), [str(lower)])
    assert portable(str(lower), [])


def test_a_folder_that_is_below_too_is_no_difference(tmp_path: Path) -> None:
    lower, upper = tmp_path / "lower", tmp_path / "upper"
    (lower / "same").mkdir(parents=True)
    (upper / "same").mkdir(parents=True)
    os.utime(upper / "same", (1, 1))
    assert portable(str(upper), [])
    assert not portable(str(upper), [str(lower)])
    assert list(upper_members(str(upper), [str(lower)])) == []
    (upper / "same" / "new").mkdir()
    assert portable(str(upper), [str(lower)])


def test_whiteouts_are_made_where_there_is_something_to_hide(tmp_path: Path) -> None:
    lower, upper = overlaid(tmp_path)
    blob = io.BytesIO()
    members = upper_members(str(upper), [str(lower)])
    pack(members, blob, Compression(Algorithm.NONE), Cancellation())
    for name, lowers, whole, there in (
        ("unknown", None, True, True),
        ("the same", [str(lower)], True, True),
        ("nothing", [], False, False),
    ):
        blob.seek(0)
        out = tmp_path / name
        out.mkdir()
        applied = apply_layer(blob, str(out), Whiteouts.OVERLAY, Cancellation(), lowers)
        assert applied.whole is whole
        for path in ("removed", "again/lost", "again/sub/lost"):
            assert (out / path).exists() is there
            assert not there or stat.S_ISCHR((out / path).lstat().st_mode)


def test_unchanged_copied_up_files_are_dropped(tmp_path: Path) -> None:
    lower, upper = tmp_path / "lower", tmp_path / "upper"
    for name in ("same/inner", "changed", "opened"):
        (lower / name).mkdir(parents=True)
    for name in ("same/moved", "opened/other", "opened/redone"):
        (lower / name).write_text("before")
    shutil.copytree(lower, upper)
    status = (lower / "opened/other").stat()
    (upper / "opened/other").write_text("beside")
    os.utime(upper / "opened/other", ns=(status.st_atime_ns, status.st_mtime_ns))
    (upper / "opened/redone").touch()
    (upper / "changed").chmod(0o700)
    (upper / "opened" / "new").mkdir()
    for folder in ("same/inner", "same", "opened", "."):
        before = (lower / folder).stat()
        os.utime(upper / folder, ns=(before.st_atime_ns, before.st_mtime_ns))
    drop_unchanged(str(upper), [str(lower)])
    assert sorted(os.listdir(upper)) == ["changed", "opened"]
    assert sorted(os.listdir(upper / "opened")) == ["new", "other", "redone"]
    assert upper.stat().st_mtime_ns == lower.stat().st_mtime_ns


def tar_of(*entries: Entry) -> io.BytesIO:
    return io.BytesIO(b"".join(header(entry) for entry in entries) + END)


@pytest.mark.parametrize(
    "entries",
    [
        [Entry("../evil", stat.S_IFREG | 0o644)],
        [Entry("a/../../evil", stat.S_IFREG | 0o644)],
        [Entry("d/" * 3000 + "evil", stat.S_IFREG | 0o644)],
        [Entry("h", stat.S_IFREG | 0o644, hard_link="../../etc/passwd")],
    ],
)
def test_nothing_leaves_the_directory(tmp_path: Path, entries: list[Entry]) -> None:
    root = tmp_path / "deep" / "root"
    root.mkdir(parents=True)
    with pytest.raises(Corrupt):
        apply_layer(tar_of(*entries), str(root), Whiteouts.OVERLAY, Cancellation())
    assert not list(tmp_path.rglob("evil"))


@pytest.fixture
def stacked(tmp_path: Path) -> tuple[Path, Path]:
    """A lower layer with files, and an empty directory above it."""
    lower, upper = tmp_path / "lower", tmp_path / "upper"
    (lower / "dir").mkdir(parents=True)
    (lower / "file").write_text("below")
    (lower / "dir" / "file").write_text("deep")
    (lower / "link").symlink_to("file")
    upper.mkdir()
    return lower, upper


def apply_above(stacked: tuple[Path, Path], *entries: Entry) -> Path:
    lower, upper = stacked
    tar = tar_of(*entries)
    apply_layer(tar, str(upper), Whiteouts.OVERLAY, Cancellation(), [str(lower)])
    return upper


def hard_link(name: str, target: str) -> Entry:
    return Entry(name, stat.S_IFREG | 0o644, hard_link=target)


def whiteout(name: str) -> Entry:
    parent, slash, name = name.rpartition("/")
    return Entry(f"{parent}{slash}.wh.{name}", stat.S_IFREG | 0o644)


FIRST = [hard_link("new", "file"), hard_link("more", "file")]


@pytest.mark.parametrize("entries", [[*FIRST, whiteout("file")], [whiteout("file"), *FIRST]])
def test_a_hard_link_to_a_file_that_the_layer_hides(
    stacked: tuple[Path, Path], entries: list[Entry]
) -> None:
    upper = apply_above(stacked, *entries)
    assert (upper / "new").read_text() == "below"
    assert (upper / "new").stat().st_ino == (upper / "more").stat().st_ino
    assert stat.S_ISCHR((upper / "file").lstat().st_mode)


def test_a_hard_link_to_a_file_in_a_directory_that_the_layer_hides(
    stacked: tuple[Path, Path],
) -> None:
    upper = apply_above(stacked, hard_link("new", "dir/file"), whiteout("dir"))
    assert (upper / "new").read_text() == "deep"
    assert stat.S_ISCHR((upper / "dir").lstat().st_mode)


def test_a_hard_link_to_a_file_in_an_opaque_directory(stacked: tuple[Path, Path]) -> None:
    opaque = Entry("dir/.wh..wh..opq", stat.S_IFREG | 0o644)
    upper = apply_above(stacked, hard_link("new", "dir/file"), opaque)
    assert (upper / "new").read_text() == "deep"
    assert os.listdir(upper / "dir") == []
    assert os.getxattr(upper / "dir", "trusted.overlay.opaque") == b"y"


def test_what_the_layer_itself_contains_stays(stacked: tuple[Path, Path]) -> None:
    upper = apply_above(
        stacked,
        hard_link("new", "dir/file"),
        Entry("dir/own", stat.S_IFREG | 0o644),
        whiteout("dir"),
    )
    assert os.listdir(upper / "dir") == ["own"]
    assert os.getxattr(upper / "dir", "trusted.overlay.opaque") == b"y"


def test_a_hard_link_to_a_symbolic_link_below(stacked: tuple[Path, Path]) -> None:
    upper = apply_above(stacked, hard_link("new", "link"))
    assert os.readlink(upper / "new") == "file"
    assert (upper / "new").lstat().st_ino == (upper / "link").lstat().st_ino


def test_a_link_as_a_parent_leads_inside(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    entries = [
        Entry("out", stat.S_IFLNK | 0o777, link="/" + str(tmp_path).strip("/")),
        Entry("out/file", stat.S_IFREG | 0o644),
    ]
    apply_layer(tar_of(*entries), str(root), Whiteouts.OVERLAY, Cancellation())
    assert (root / str(tmp_path).strip("/") / "file").is_file()
    assert not (tmp_path / "file").exists()


def test_a_link_that_climbs_out_leads_to_the_root(tmp_path: Path) -> None:
    root = tmp_path / "deep" / "root"
    root.mkdir(parents=True)
    entries = [
        Entry("out", stat.S_IFLNK | 0o777, link="../../.."),
        Entry("out/etc/file", stat.S_IFREG | 0o644),
    ]
    apply_layer(tar_of(*entries), str(root), Whiteouts.OVERLAY, Cancellation())
    assert (root / "etc" / "file").is_file()
    assert not list((tmp_path / "deep").glob("etc"))


def test_links_that_add_up_to_too_long_a_path_are_refused(tmp_path: Path) -> None:
    far = "d/" * 1500
    entries = [
        Entry("far", stat.S_IFLNK | 0o777, link=far),
        Entry(f"far/{far}file", stat.S_IFREG | 0o644),
    ]
    with pytest.raises(Corrupt, match="the path is too long"):
        apply_layer(tar_of(*entries), str(tmp_path), Whiteouts.OVERLAY, Cancellation())


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_implied_folders_have_the_same_mode_under_any_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        entries = [Entry("a/b/file", stat.S_IFREG | 0o644)]
        apply_layer(tar_of(*entries), str(tmp_path), Whiteouts.OVERLAY, Cancellation())
    finally:
        os.umask(before)
    assert [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("a", "a/b")] == [0o755] * 2


def test_implied_folders_are_those_below_but_not_opaque(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in "012"]
    for path in folders:
        path.mkdir()
    attributes = (("user.note", b"1"),)
    directory = Entry("d", stat.S_IFDIR | 0o710, uid=7, gid=8, mtime_ns=5, xattrs=attributes)
    layers = (
        [directory, Entry("d/a", stat.S_IFREG | 0o644)],
        [directory, Entry("d/.wh..wh..opq", stat.S_IFREG), Entry("d/b", stat.S_IFREG | 0o644)],
        [Entry("d/c", stat.S_IFREG | 0o644)],
    )
    for number, entries in enumerate(layers):
        lowers = [str(path) for path in folders[:number]]
        apply_layer(
            tar_of(*entries), str(folders[number]), Whiteouts.OVERLAY, Cancellation(), lowers
        )
    implied = folders[2] / "d"
    status = implied.stat()
    assert (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) == (0o710, 7, 8)
    assert status.st_mtime_ns == 5
    assert os.listxattr(implied) == ["user.note"]
    assert Stack([str(path) for path in folders]).names("d") == {"b", "c"}


@pytest.mark.parametrize("cut", [100, 512, 700, 1024 + 100])
def test_truncated_archives_are_corrupt(tmp_path: Path, cut: int) -> None:
    data = header(Entry("f", stat.S_IFREG | 0o644, size=3000)) + bytes(3072) + END
    with pytest.raises(Corrupt):
        for _ in TarReader(io.BytesIO(data[:cut])):
            pass


def test_truncated_compressed_layers_are_corrupt(tmp_path: Path) -> None:
    make_tree(tmp_path / "in")
    for algorithm in (Algorithm.GZIP, Algorithm.ZSTD):
        blob = io.BytesIO()
        pack(tree_members(str(tmp_path / "in")), blob, Compression(algorithm), Cancellation())
        out = tmp_path / algorithm.value
        out.mkdir()
        with pytest.raises(Corrupt):
            apply_layer(
                decompressed(io.BytesIO(blob.getvalue()[:-20])),
                str(out),
                Whiteouts.OVERLAY,
                Cancellation(),
            )


class _Full:
    """A sink with space for a number of writes."""

    def __init__(self, room: int) -> None:
        self._room = room

    def write(self, chunk: bytes) -> None:
        self._room -= 1
        if self._room < 0:
            raise OSError(errno.ENOSPC, "no room")


@pytest.mark.parametrize("name", ["gzip", "zstd", "uncompressed"])
@pytest.mark.parametrize("room", [0, 1])
def test_whatever_stops_a_packing_ends_its_threads(name: str, room: int) -> None:
    before = threading.active_count()
    noise = os.urandom(30 << 20)
    members = [(Entry("a", stat.S_IFREG | 0o644, size=len(noise)), noise)]
    with pytest.raises(OSError, match="no room"):
        pack(members, _Full(room), parse_compression(name), Cancellation())
    assert threading.active_count() == before


def test_members_that_fail_end_the_threads_too() -> None:
    def members() -> Iterator[tuple[Entry, bytes]]:
        yield Entry("a", stat.S_IFREG | 0o644, size=4 << 20), bytes(4 << 20)
        raise KeyError("gone")

    before = threading.active_count()
    with pytest.raises(KeyError):
        pack(members(), _Full(1000), parse_compression("gzip"), Cancellation())
    assert threading.active_count() == before

"""Restoring hostile cache mounts: nothing is written outside of the mount."""

from __future__ import annotations

import os
import stat
from hashlib import sha256
from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest
import zstandard

from lamina.base.digest import digest_of
from lamina.base.errors import Cancelled, Corrupt, Exhausted
from lamina.base.oci import Descriptor
from lamina.cacheio.backend import FolderBackend
from lamina.cacheio.mount_export import export_mount
from lamina.cacheio.mount_import import restore_mount
from lamina.cacheio.mount_index import PACK_TYPE, Chunk, MountEntry, MountIndex
from lamina.cacheio.mount_publish import load_mount
from lamina.cacheio.mount_scan import scan
from lamina.cacheio.options import FolderLocation
from lamina.stores.store import open_store
from lamina.system.cancel import Cancellation
from lamina.system.descent import Descent
from lamina.system.removal import discard_tree
from tests.cacheio.test_mount_publish import Quiet

if TYPE_CHECKING:
    from pathlib import Path

CANCEL = Cancellation()
ROOT = MountEntry("", 0o40755, 0, 0, 0)
CONTENT = b"what a chunk holds"
CHUNK = Chunk(sha256(CONTENT).hexdigest(), 0, 3, len(CONTENT))


def backend_with(folder: Path, pack: bytes) -> tuple[FolderBackend, Descriptor]:
    blob = zstandard.ZstdCompressor().compress(pack)
    digest = digest_of(blob)
    (folder / "blobs" / "sha256").mkdir(parents=True)
    (folder / "blobs" / "sha256" / digest.hex).write_bytes(blob)
    backend = FolderBackend(FolderLocation(str(folder)))
    return backend, Descriptor(PACK_TYPE, digest, len(blob))


def restored(tmp_path: Path, pack: bytes, *entries: MountEntry) -> Path:
    backend, descriptor = backend_with(tmp_path / "cache", pack)
    mount = tmp_path / "mount"
    mount.mkdir()
    index = MountIndex("m", (descriptor,), (CHUNK,), (ROOT, *entries))
    restore_mount(index, str(mount), backend, Quiet(), CANCEL)
    return mount


def test_a_file_of_its_chunks(tmp_path: Path) -> None:
    file = MountEntry("d/f", 0o104751, 12, 34, 1_600_000_000_123_456_789, (0, 0))
    folder = MountEntry("d", 0o40700, 1, 2, 5_000_000_000)
    mount = restored(tmp_path, b"***" + CONTENT, file, folder)
    status = (mount / "d" / "f").stat()
    assert (mount / "d" / "f").read_bytes() == CONTENT * 2
    assert (status.st_mode, status.st_uid, status.st_gid) == (0o104751, 12, 34)
    assert status.st_mtime_ns == file.mtime_ns
    assert (mount / "d").stat().st_mtime_ns == folder.mtime_ns
    assert stat.S_IMODE((mount / "d").stat().st_mode) == 0o700


@pytest.mark.parametrize("pack", [b"***what a chunk hold5", b"***", b""])
def test_a_chunk_with_another_digest_is_refused(tmp_path: Path, pack: bytes) -> None:
    with pytest.raises(Corrupt, match="does not match its index"):
        restored(tmp_path, pack, MountEntry("f", 0o100644, 0, 0, 0, (0,)))


def test_a_restore_does_not_follow_links(tmp_path: Path) -> None:
    """Even with an unchecked index, and links in the directory."""
    outside = tmp_path / "outside"
    outside.mkdir()
    mount = tmp_path / "mount"
    mount.mkdir()
    (mount / "link").symlink_to(outside)
    backend, descriptor = backend_with(tmp_path / "cache", b"***" + CONTENT)
    for path in ("link/f", "link"):
        file = MountEntry(path, 0o104755, 0, 0, 0, (0,))
        index = MountIndex("m", (descriptor,), (CHUNK,), (ROOT, file))
        with pytest.raises(OSError):
            restore_mount(index, str(mount), backend, Quiet(), CANCEL)
    assert os.listdir(outside) == []


def test_files_below_paths_that_are_too_long_are_left_out(tmp_path: Path) -> None:
    mount = tmp_path / "mount"
    mount.mkdir()
    (mount / "file").write_text("kept")
    os.mkfifo(mount / "fifo")
    with Descent(str(mount)) as descent:
        for _ in range(5000):
            os.mkdir("d", dir_fd=descent.fd)
            descent.enter("d")
    try:
        paths = [item.entry.path for item in scan(str(mount), CANCEL)]
        assert len(max(paths, key=len)) == 4093
        assert "file" in paths
        assert "fifo" not in paths
        backend = FolderBackend(FolderLocation(str(tmp_path / "cache")))
        with open_store(str(tmp_path / "store")) as store:
            export_mount(str(mount), "m", frozenset(), backend, store.blobs, Quiet(), CANCEL)
        found = load_mount(backend, "m", CANCEL)
        assert found is not None
        copy = tmp_path / "copy"
        copy.mkdir()
        restore_mount(found.mount, str(copy), backend, Quiet(), CANCEL)
        assert (copy / "file").read_text() == "kept"
    finally:
        discard_tree(str(tmp_path))


def test_a_mount_larger_than_the_limit_is_refused_before_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAMINA_MAX_UNPACKED", "1kB")
    file = MountEntry("f", 0o100644, 0, 0, 0, (0,) * 100)
    with pytest.raises(Exhausted, match="the cache mount m is larger than 1024 bytes"):
        restored(tmp_path, b"***" + CONTENT, file)
    assert list((tmp_path / "mount").iterdir()) == []


def test_an_index_that_repeats_a_chunk_for_ever_can_be_cancelled(tmp_path: Path) -> None:
    backend, descriptor = backend_with(tmp_path / "cache", b"***" + CONTENT)
    mount = tmp_path / "mount"
    mount.mkdir()
    file = MountEntry("f", 0o100644, 0, 0, 0, (0,) * 100_000)
    index = MountIndex("m", (descriptor,), (CHUNK,), (ROOT, file))
    cancel = Cancellation()

    def write_one(*_: object) -> int:
        cancel.cancel()
        return len(CONTENT)

    with patch("os.pwrite", side_effect=write_one) as written, pytest.raises(Cancelled):
        restore_mount(index, str(mount), backend, Quiet(), cancel)
    assert written.call_count == 1

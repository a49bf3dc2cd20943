"""A daemon with a full disk: builds report it, space is freed, and the next builds succeed."""

from __future__ import annotations

import hashlib
import os
import time
from typing import TYPE_CHECKING

import pytest

from tests.commands import RemoteLamina
from tests.daemon_process import DaemonProcess
from tests.small_disks import free, small_disk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SIZE = 40 << 20
LARGE = (
    "ARG N\n"
    "RUN echo $N; head -c 6000000 /dev/urandom > /x; sha256sum /x > /y\n"
    "RUN sha256sum -c /y\n"
)


@pytest.fixture(params=["tmpfs", "ext4"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A small file system."""
    size = SIZE if request.param == "tmpfs" else SIZE * 3 // 2
    with small_disk(request.param, size, tmp_path) as mounted:
        yield mounted


def fill(disk: Path) -> Path:
    """Fill the disk with a file beside those of the daemon."""
    with (disk / "filler").open("wb", buffering=0) as file:
        for size in (1 << 16, 1 << 10, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                pass
    return disk / "filler"


def until_full(client: RemoteLamina, folder: Path) -> str:
    """Build until there is no space. Returns the error of the first failed build."""
    for number in range(20):
        done = client("build", "--progress=plain", f"--build-arg=N={number}", str(folder))
        if done.code:
            return done.err
    raise AssertionError("it never gets full")


def whole(client: RemoteLamina, folder: Path) -> None:
    """Check that the daemon's builds and its cached results have the correct content."""
    out = folder.parent / "out"
    for _ in range(2):
        client.build(folder, "--build-arg=N=end", "-o", str(out))
        digest = hashlib.sha256((out / "x").read_bytes()).hexdigest()
        assert (out / "y").read_text() == f"{digest}  /x\n"


def wait_for_room(disk: Path, size: int) -> None:
    deadline = time.monotonic() + 30
    while free(disk) < size:
        assert time.monotonic() < deadline, free(disk)
        time.sleep(0.05)


def test_space_is_freed_after_a_build_fails_on_a_full_disk(
    disk: Path, context: Callable[..., Path], tmp_path: Path
) -> None:
    folder = context(LARGE)
    with DaemonProcess(disk) as daemon:
        client = RemoteLamina(tmp_path, daemon.address)
        time.sleep(1.2)  # the collection at the start, so that the next one is a minute away
        for _ in range(2):
            log = until_full(client, folder)
            assert "RESOURCE_EXHAUSTED" in daemon.read_log()
            assert "lamina prune" in log
            wait_for_room(disk, SIZE // 4)
            whole(client, folder)
        assert daemon.stop() == 0
        assert "Traceback" not in daemon.log


def test_a_full_disk_without_collections_is_pruned_by_hand(
    disk: Path, context: Callable[..., Path], tmp_path: Path
) -> None:
    folder = context(LARGE)
    config = tmp_path / "config.toml"
    config.write_text("[worker.oci]\ngc = false\n")
    with DaemonProcess(disk, "--config", str(config)) as daemon:
        client = RemoteLamina(tmp_path, daemon.address)
        client.build(folder, "--build-arg=N=0")
        filler = fill(disk)
        for number in range(3):
            failed = client("build", f"--build-arg=N={number}", str(folder))
            assert failed.code == 1, failed.err
            assert "lamina prune" in failed.err
        assert client("du").code == 0
        daemon.kill()
    with DaemonProcess(disk, "--config", str(config)) as daemon:
        assert client("build", "--build-arg=N=1", str(folder)).code == 1
        pruned = client("prune", "-af")
        assert pruned.code == 0, pruned.err
        wait_for_room(disk, 6_000_000)
        filler.unlink()
        whole(client, folder)
        assert daemon.stop() == 0
        assert "Traceback" not in daemon.log


def test_a_folder_that_had_no_room_is_sent_again(
    disk: Path, context: Callable[..., Path], tmp_path: Path
) -> None:
    folder = context("COPY large /large\nRUN sha256sum /large\n")
    with DaemonProcess(disk) as daemon:
        client = RemoteLamina(tmp_path, daemon.address)
        for size in (5 << 20, 80 << 20, 6 << 20):
            data = os.urandom(size)
            (folder / "large").write_bytes(data)
            done = client("build", "--progress=plain", "-o", f"{tmp_path}/out", str(folder))
            if size > SIZE:
                assert done.code == 1
                assert "No space left" in done.err
                wait_for_room(disk, SIZE // 4)
            else:
                assert done.code == 0, done.err
                assert (tmp_path / "out/large").read_bytes() == data
        assert daemon.stop() == 0
        assert "Traceback" not in daemon.log

"""Pruning at bad moments: while builds run, when the process is killed, on a full disk."""

from __future__ import annotations

import sqlite3
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from lamina.api import control
from lamina.client.contract import BuildRequest, ContextSpec, OutputSpec
from lamina.client.remote import open_remote
from lamina.stores.store import open_store
from lamina.system.cancel import Cancellation
from lamina.wire.protobuf import encode
from tests.commands import Lamina, RemoteLamina
from tests.daemon.daemon_client import SolvingThread
from tests.daemon_process import DaemonProcess

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lamina.base.events import Event

NUMBERED = "ARG N\nRUN echo $N > /n\nRUN cat /n > /m\n"


def ignore(event: Event) -> None:
    return


def built(address: str, folder: Path, number: int) -> str:
    """The final value of the number."""
    out = folder.parent / f"out{number}"
    request = BuildRequest(
        ContextSpec(str(folder), str(folder / "Dockerfile")),
        outputs=(OutputSpec("local", (("dest", str(out)),)),),
    )
    frontend = request.frontend._replace(build_args=(("N", str(number)),))
    with open_remote(address) as builder:
        builder.build(request._replace(frontend=frontend), ignore, Cancellation())
    return (out / "m").read_text()


def pruned(daemon: DaemonProcess, until: int = 1 << 30) -> int:
    """The number of removed records; stops after some."""
    with daemon.dial() as channel, channel.open(control.PRUNE) as call:
        call.send(encode(control.PruneRequest(all=True), control.SCHEMA))
        call.finish_sending()
        count = 0
        while count < until and call.receive() is not None:
            count += 1
        return count


def whole(root: Path) -> None:
    """Every snapshot has its files, and removed snapshots have left none."""
    with open_store(str(root)) as store:
        known = {row[0] for row in store.database.rows("SELECT directory FROM snapshots") if row[0]}
    assert known <= {path.name for path in (root / "snapshots").iterdir()}


def test_ten_builds_while_everything_is_pruned(
    tmp_path: Path, context: Callable[..., Path]
) -> None:
    folder = context(NUMBERED)
    with DaemonProcess(tmp_path / "store") as daemon:
        over = threading.Event()

        def prune() -> None:
            while not over.is_set():
                pruned(daemon)
                RemoteLamina(tmp_path, daemon.address)("du")

        pruning = threading.Thread(target=prune)
        pruning.start()
        try:
            with ThreadPoolExecutor(10) as pool:
                found = pool.map(lambda n: built(daemon.address, folder, n), range(10))
                assert list(found) == [f"{n}\n" for n in range(10)]
        finally:
            over.set()
            pruning.join()
        assert daemon.stop() == 0
    whole(tmp_path / "store")


def test_killed_while_it_prunes(tmp_path: Path, context: Callable[..., Path]) -> None:
    folder = context(NUMBERED)
    for _ in range(2):
        with DaemonProcess(tmp_path / "store") as daemon:
            for number in range(4):
                assert built(daemon.address, folder, number) == f"{number}\n"
            assert pruned(daemon, 3) == 3
            daemon.kill()
        whole(tmp_path / "store")
    with DaemonProcess(tmp_path / "store") as daemon:
        assert built(daemon.address, folder, 0) == "0\n"
        pruned(daemon)
        assert daemon.stop() == 0
    whole(tmp_path / "store")
    assert {path.name for path in (tmp_path / "store/snapshots").iterdir()} == {".kind", ".ids"}


def test_a_full_disk_can_be_pruned(tmp_path: Path, context: Callable[..., Path]) -> None:
    folder = context("COPY file /\nRUN cat /file > /other\n", {"file": "x" * 1_000_000})
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=30m", "tmpfs", str(disk)], check=True)
    try:
        lamina = Lamina(disk / "store")
        lamina.build(folder)
        with (disk / "filler").open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(1 << 16))
            except OSError:
                pass
        (folder / "file").write_text("y" * 9_000_000)
        failed = lamina("build", "--progress=plain", str(folder))
        assert failed.code == 1
        assert "No space left" in failed.err
        done = lamina("prune", "-af")
        assert done.code == 0, done.err
        assert "Total: 0B" not in done.out
        (disk / "filler").unlink()
        lamina.build(folder)
        whole(disk / "store")
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_dead_keys_go_while_a_build_runs(tmp_path: Path, context: Callable[..., Path]) -> None:
    folder = context(NUMBERED)
    with DaemonProcess(tmp_path / "store") as daemon:

        def keys() -> int:
            with sqlite3.connect(daemon.root / "meta.db") as database:
                row = database.execute("SELECT COUNT(*) FROM cache_keys").fetchone()
            return int(row[0])

        for number in range(6):
            built(daemon.address, folder, number)
        other = context("FROM base\nRUN echo begun; sleep 1000\n")
        running = SolvingThread(daemon.dial(), other, "endless")
        running.wait_for_output("endless", b"begun")
        many = keys()
        pruned(daemon)  # those that the running build has not used
        assert keys() < many - 10
        running.channel.close()
        running.join()
        deadline = time.monotonic() + 20
        while keys():  # it is still ending
            pruned(daemon)
            assert time.monotonic() < deadline
        assert built(daemon.address, context(NUMBERED), 7) == "7\n"


def test_a_daemon_that_is_never_idle_lets_go(tmp_path: Path, context: Callable[..., Path]) -> None:
    with DaemonProcess(tmp_path / "store") as daemon:

        def begun(ref: str) -> SolvingThread:
            folder = context(f"FROM base\nRUN echo begun; sleep 1000; : {ref}\n")
            build = SolvingThread(daemon.dial(), folder, ref)
            build.wait_for_output(ref, b"begun")
            return build

        def states() -> int:
            return len(list((daemon.root / "snapshots").iterdir()))

        first = begun("first")
        built(daemon.address, context(NUMBERED), 0)
        second = begun("second")
        built(daemon.address, context(NUMBERED), 1)
        pruned(daemon)
        held = states()
        first.channel.close()
        first.join()
        deadline = time.monotonic() + 20
        while states() > held - 2:  # those that only the first builds have used; one is ending
            pruned(daemon)
            assert time.monotonic() < deadline
        assert built(daemon.address, context(NUMBERED), 0) == "0\n"
        second.channel.close()
        second.join()
    whole(daemon.root)

"""Interrupts, full disks, missing permissions and runtimes, pruning; and leftovers."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.commands import Lamina


COMMAND = (sys.executable, "-m", "lamina", "--root")
NOBODY = ("setpriv", "--reuid=65534", "--clear-groups", "--")


def processes_with(marker: str) -> list[int]:
    """The processes whose command line contains a text, except this one and its tools."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/cmdline", "rb") as file:
                line = file.read()
        except OSError:
            continue
        if marker.encode() in line and int(name) != os.getpid():
            found.append(int(name))
    return found


def cgroups_of(pid: int) -> list[str]:
    return [
        os.path.join(folder, name)
        for folder, names, _ in os.walk("/sys/fs/cgroup")
        for name in names
        if "lamina" in folder + name and f"-{pid}-" in name
    ]


def start(lamina: Lamina, folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*COMMAND, str(lamina.root), "build", "--progress=plain", str(folder)],
        stderr=subprocess.PIPE,
        env={**os.environ, "LAMINA_STOP_TIMEOUT": "10m"},
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_leaves_no_processes_or_mounts(
    lamina: Lamina, context: Callable[..., Path], number: signal.Signals
) -> None:
    lamina.build(context("FROM base\n"))
    mounts = subprocess.check_output(["cat", "/proc/self/mounts"])
    marker = f"sleep 3{number.value}.{os.getpid()}"  # the tests may run twice at once
    process = start(lamina, context(f"FROM base\nRUN {marker} & {marker}\n"))
    deadline = time.monotonic() + 20
    while not processes_with("\0" + marker.split()[1]) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(number)
    _, log = process.communicate(timeout=20)
    assert process.returncode == 128 + number.value, log.decode()
    assert b"interrupted" in log
    assert not processes_with(marker.split()[1])
    assert not cgroups_of(process.pid)
    assert subprocess.check_output(["cat", "/proc/self/mounts"]) == mounts
    assert os.listdir(lamina.root / "tmp") == ["ingest"]  # the directory of interrupted downloads
    assert os.listdir(lamina.root / "tmp/ingest") == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MB."""
    image, target = tmp_path / "disk", tmp_path / "small"
    target.mkdir()
    with open(image, "wb") as file:
        file.truncate(24 << 20)
    subprocess.run(["mkfs.ext4", "-q", str(image)], check=True)
    subprocess.run(["mount", "-o", "loop", str(image), str(target)], check=True)
    try:
        yield target
    finally:
        subprocess.run(["umount", "-l", str(target)], check=True)


def test_a_full_disk_is_named_and_the_store_stays_usable(
    lamina: Lamina, context: Callable[..., Path], small_disk: Path
) -> None:
    store = type(lamina)(small_disk / "store")
    store.build(context("FROM base\n"))
    folder = context("FROM base\nCOPY big /big\nRUN echo $(wc -c < /big) > /size\n")
    with open(folder / "big", "wb") as file:
        file.write(os.urandom(30 << 20))
    failed = store("build", str(folder))
    assert failed.code == 1
    assert "space" in failed.err.lower()
    assert "Traceback" not in failed.err
    failed = store(
        "build", "--progress=plain",
        str(context("FROM base\nRUN head -c 30000000 /dev/urandom > /x\n")),
    )  # fmt: skip
    assert failed.code == 1
    assert "the disk of the store is full" in failed.err
    (folder / "big").write_bytes(b"small")
    folder = context("FROM base\nCOPY big /big\nRUN echo $(wc -c < /big) > /size\n")
    store.build(folder, "-t", "x")
    assert store("run", "x", "cat", "/size").out == "5\n"


def test_no_runtime_no_permission(
    lamina: Lamina, context: Callable[..., Path], tmp_path: Path
) -> None:
    hidden = "".join(
        f"mount --bind /dev/null {path}; "
        for path in filter(None, map(shutil.which, ("crun", "runc")))
    )
    script = f'{hidden} exec "$@"'
    folder = context("FROM base\n")
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script, "-", *COMMAND, lamina.root, "build", folder],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "install crun" in done.stderr, done.stderr
    assert ">>> RUN" in done.stderr
    done = subprocess.run(
        [*NOBODY, *COMMAND, str(tmp_path / "nobody"), "build", str(tmp_path)],
        capture_output=True,
        text=True,
    )
    assert done.returncode in (1, 127)
    assert "Traceback" not in done.stderr


def test_usage_and_pruning(lamina: Lamina, context: Callable[..., Path]) -> None:
    folder = context(
        "FROM base\nRUN --mount=type=cache,target=/c,id=kept echo 1 > /c/1; echo 1 > /1\n"
    )
    lamina.build(folder, "-t", "x")
    usage = lamina("du", "--verbose").out
    assert "exec.cachemount" in usage
    pruned = lamina("prune", "--force", "--filter", "type=exec.cachemount")
    assert pruned.code == 0, pruned.err
    assert "exec.cachemount" not in lamina("du", "--verbose").out
    assert lamina("run", "x", "cat", "/1").out == "1\n"
    pruned = lamina("prune", "--force", "--all")
    assert pruned.code == 0, pruned.err
    # The image itself is not cache: it still runs, and the build still works.
    assert lamina("run", "x", "cat", "/1").out == "1\n"
    assert lamina("rmi", "x").code == 0
    assert lamina("prune", "--force", "--all").code == 0
    assert lamina("run", "x", "true").code != 0
    snapshots = lamina.root / "snapshots"
    assert [path for path in snapshots.iterdir() if path.is_dir()] == []
    lamina.build(folder, "-t", "x")
    assert lamina("run", "x", "cat", "/1").out == "1\n"


def test_two_builds_of_one_thing_at_once(lamina: Lamina, context: Callable[..., Path]) -> None:
    lamina.build(context("FROM base\n"))
    folder = context(
        "FROM base\nRUN --mount=type=cache,target=/c,sharing=locked "
        "test ! -e /c/in && touch /c/in && sleep 0.3 && rm /c/in && date +%s%N > /x\n"
    )
    running = [start(lamina, folder) for _ in range(4)]
    for process in running:
        _, log = process.communicate(timeout=60)
        assert process.returncode == 0, log.decode()
    assert "CACHED" in lamina.build(folder)


def test_a_running_container_gets_signals_and_gives_its_status(
    lamina: Lamina, context: Callable[..., Path]
) -> None:
    lamina.build(context("FROM base\nCMD exit 7\n"), "-t", "x")
    assert lamina("run", "x").code == 7
    assert lamina("run", "-e", "A=b", "x", "sh", "-c", "echo $A; echo err >&2").out == "b\n"
    script = "trap 'echo got; exit 3' TERM; echo up; while :; do sleep 0.1; done"
    process = subprocess.Popen(
        [*COMMAND, str(lamina.root), "run", "x", "sh", "-c", script],
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"up\n"
    process.terminate()
    out, _ = process.communicate(timeout=10)
    assert (out, process.returncode) == (b"got\n", 3)


def test_raw_json_is_whole_and_logs_are_complete(
    lamina: Lamina, context: Callable[..., Path]
) -> None:
    folder = context("FROM base\nRUN seq 1 200000\n")
    done = lamina("build", "--progress=rawjson", str(folder))
    assert done.code == 0
    import base64

    data = b"".join(
        base64.b64decode(log["data"])
        for line in done.err.splitlines()
        for log in json.loads(line).get("logs", ())
    )
    assert data == b"".join(b"%d\n" % number for number in range(1, 200001))
    plain = lamina("build", "--progress=plain", "--no-cache", str(folder))
    assert (
        len([line for line in plain.err.splitlines() if re.search(r" \d+\.\d+ 200000$", line)]) == 1
    )
    assert len(plain.err.splitlines()) > 200000

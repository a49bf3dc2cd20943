"""A registry that is killed or fails during pulls, pushes, exports and imports of caches.

Errors are clear, nothing incomplete is accepted as complete, and the next attempt succeeds.
"""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
import sys
import threading
import time
import urllib.request
from typing import TYPE_CHECKING

import pytest

from tests.real_registry import RealRegistry, running_registry
from tests.registry import registry_server as faults

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.commands import Lamina


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[RealRegistry]:
    registry = RealRegistry(tmp_path / "mortal")
    registry.start()
    yield registry
    registry.kill()


def every_manifest(host: str, name: str) -> int:
    """Read every tagged manifest with skopeo, and all their blobs. Returns the number of
    manifests."""
    listed = subprocess.run(
        ["skopeo", "list-tags", "--tls-verify=false", f"docker://{host}/{name}"],
        capture_output=True,
    )
    tags = json.loads(listed.stdout)["Tags"] if listed.returncode == 0 else []
    for tag in tags:
        inspect = ["skopeo", "inspect", "--raw", "--tls-verify=false"]
        raw = subprocess.run(
            [*inspect, f"docker://{host}/{name}:{tag}"], capture_output=True, check=True
        )
        manifest = json.loads(raw.stdout)
        for blob in (manifest["config"], *manifest["layers"]):
            url = f"http://{host}/v2/{name}/blobs/{blob['digest']}"
            with urllib.request.urlopen(url, timeout=20) as response:
                data = response.read()
            assert "sha256:" + hashlib.sha256(data).hexdigest() == blob["digest"]
            assert len(data) == blob["size"]
    return len(tags)


class Running:
    """A running lamina command whose progress is watched."""

    def __init__(self, lamina: Lamina, *args: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "lamina", "--root", str(lamina.root), *args],
            stderr=subprocess.PIPE,
            text=True,
        )
        self.lines: list[str] = []
        self.thread = threading.Thread(target=self._read)
        self.thread.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        self.lines += iter(self.process.stderr.readline, "")
        self.process.stderr.close()

    def until(self, seen: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 60
        while not seen() and self.process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.001)

    def end(self) -> tuple[int, str]:
        code = self.process.wait(90)
        self.thread.join()
        return code, "".join(self.lines)


def test_it_dies_while_it_is_pulled_from(
    mortal: RealRegistry,
    machine: Callable[[str], Lamina],
    context: Callable[..., Path],
) -> None:
    here, there = machine("here"), machine("there")
    name = f"{mortal.host}/big/app"
    folder = context("RUN head -c 250000000 /dev/urandom > /big\n")
    here.build(folder, "--push", "-t", name)
    running = Running(there, "pull", "--progress=plain", name)
    running.until(lambda: any("MB / " in line for line in running.lines))
    mortal.kill()
    code, said = running.end()
    assert code == 1
    assert mortal.host in said
    assert "Traceback" not in said
    mortal.start()
    done = there("pull", "--progress=plain", name)
    assert done.code == 0, done.err
    assert there("run", name, "sh", "-c", "wc -c < /big").out == "250000000\n"


@pytest.mark.parametrize("delay", [0.0, 0.2, 0.5])
def test_it_dies_while_a_cache_is_exported(
    delay: float,
    mortal: RealRegistry,
    machine: Callable[[str], Lamina],
    context: Callable[..., Path],
) -> None:
    """A warning and a successful build; published content is complete; the next export succeeds."""
    here, there = machine("here"), machine("there")
    place = f"type=registry,ref={mortal.host}/app/cache,mounts=true"
    folder = context(
        "RUN --mount=type=cache,target=/c,id=c head -c 60000000 /dev/urandom > /c/f;"
        " cp /c/f /out; head -c 1000000 /dev/urandom > /c/g\n"
    )
    running = Running(
        here, "build", "--progress=plain", "--cache-to", f"{place},mode=max", str(folder)
    )
    running.until(lambda: any("exporting cache" in line for line in running.lines))
    time.sleep(delay)
    mortal.kill()
    code, said = running.end()
    assert code == 0, said
    mortal.start()
    every_manifest(mortal.host, "app/cache")
    if mortal.host in said:
        assert "was not" in said  # written, or sent
    log = here.build(folder, "--cache-to", f"{place},mode=max")
    assert "was not" not in log
    assert every_manifest(mortal.host, "app/cache") >= 2
    log = there.build(folder, "--cache-from", place)
    assert log.count("CACHED") >= 3
    done = there("cache", "import", "c", "--from", f"type=registry,ref={mortal.host}/app/cache")
    assert done.code == 0, done.err
    (mount,) = (path for path in (there.root / "mounts").iterdir() if path.is_dir())
    assert (mount / "f").stat().st_size == 60_000_000


def test_it_dies_while_a_mount_is_imported(
    mortal: RealRegistry, machine: Callable[[str], Lamina], context: Callable[..., Path]
) -> None:
    """The step runs without the cache, and the mount is not half imported."""
    here, there = machine("here"), machine("there")
    place = f"type=registry,ref={mortal.host}/app/cache,mounts=true"
    folder = context(
        "COPY input /input\nRUN --mount=type=cache,target=/c,id=c ls /c | wc -l; cat /input;"
        " [ -e /c/0 ] || for i in 0 1 2 3 4 5 6 7 8 9;"
        ' do head -c 12000000 /dev/urandom > "/c/$i"; done\n',
        {"input": "one"},
    )
    here.build(folder, "--cache-to", place)
    (folder / "input").write_text("two")
    running = Running(there, "build", "--progress=plain", "--cache-from", place, str(folder))
    running.until(lambda: any("reading pack" in line for line in running.lines))
    mortal.kill()
    code, said = running.end()
    assert code == 0, said
    if "was not imported" in said:
        assert "ERROR" in said
        assert " 0\n" in said
    mortal.start()
    fresh = machine("fresh")
    log = fresh.build(folder, "--cache-from", place)
    assert " 10\n" in log


@pytest.mark.parametrize(
    "fault",
    [
        faults.reset,
        faults.status(500),
        faults.status(429, Retry_After="0"),
        faults.truncate(100),
    ],
)
def test_passing_faults_are_not_noticed(
    fault: Callable[[faults.Handler], None],
    machine: Callable[[str], Lamina],
    context: Callable[..., Path],
    tmp_path: Path,
) -> None:
    """Every third request of a CI job fails, without effect on the results."""
    with running_registry(tmp_path / "registry") as upstream, faults.FaultProxy(upstream) as proxy:
        chance = random.Random(3)
        lock = threading.Lock()
        last = [False]

        def sometimes(handler: faults.Handler) -> bool:
            with lock:  # never twice in a row, or the attempts could be used up
                due = not last[0] and chance.random() < 0.33
                last[0] = due
            if due and not (fault.__name__ == "<lambda>" and handler.command == "HEAD"):
                fault(handler)
                return True
            return False

        folder = context(
            "COPY input /input\n"
            "RUN --mount=type=cache,target=/c,id=c head -c 2000000 /dev/urandom > /f; cp /f /c/f\n",
            {"input": "one"},
        )
        name = f"{proxy.host}/app"
        cache = f"type=registry,ref={name}:cache,mounts=true"
        proxy.always = sometimes
        a, b = machine("a"), machine("b")
        words = ["--push", "-t", f"{name}:1"]
        a.build(folder, *words, "--cache-to", f"{cache},mode=max,ignore-error=false")
        log = b.build(folder, *words, "--cache-from", cache)
        assert log.count("CACHED") >= 4
        (folder / "input").write_text("two")
        log = b.build(folder, "--cache-from", cache)
        assert "importing cache mount c" in log
        assert "was not imported" not in log
        done = machine("c")("pull", f"{name}:1")
        assert done.code == 0, done.err
        proxy.always = None
        assert every_manifest(upstream, "app") >= 3


def test_a_slow_link(
    machine: Callable[[str], Lamina], context: Callable[..., Path], tmp_path: Path
) -> None:
    """Answers arrive slowly; as long as data arrives, there is no time-out."""

    def trickle(handler: faults.Handler) -> bool:
        if handler.command == "GET" and "/blobs/sha256" in handler.path:
            wfile = handler.wfile

            class Slow:
                def write(self, data: bytes) -> int:
                    for at in range(0, len(data), 65536):
                        time.sleep(0.02)
                        wfile.write(data[at : at + 65536])
                    return len(data)

                def flush(self) -> None:
                    wfile.flush()

            handler.wfile = Slow()  # type: ignore[assignment]  # a line that is slow
            try:
                handler.forward()
            finally:
                handler.wfile = wfile
            return True
        return False

    with running_registry(tmp_path / "registry") as upstream, faults.FaultProxy(upstream) as proxy:
        folder = context("RUN head -c 3000000 /dev/urandom > /f\n")
        machine("a").build(folder, "--push", "-t", f"{upstream}/slow:1")
        proxy.always = trickle
        done = machine("b")("pull", f"{proxy.host}/slow:1")
        assert done.code == 0, done.err

"""Secrets of a running step: unreadable for other users, never on disk, removed when the build is
killed."""

from __future__ import annotations

import glob
import os
import signal
import subprocess
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.commands import Lamina

VALUE = "S3CRET-VALUE-OF-A-TEST"
STEP = """FROM base
RUN --mount=type=secret,id=t,env=TOKEN --mount=type=secret,id=t,target=/run/t,mode=0444 \\
    test "$TOKEN" = "$(cat /run/t)" && echo "has ${#TOKEN}" && sleep 54331
"""
AS_NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")


@pytest.fixture
def build(lamina: Lamina, context: Callable[..., Path]) -> Iterator[subprocess.Popen[str]]:
    """A build whose step has the secret, as a variable and as a file, and sleeps."""
    lamina.root.parent.chmod(0o755)
    command = lamina.command("build", "--progress=plain", "--secret", "id=t", str(context(STEP)))
    environ = {**os.environ, "t": VALUE}
    child = subprocess.Popen(command, env=environ, stderr=subprocess.PIPE, text=True)
    try:
        assert child.stderr is not None
        assert any(f"has {len(VALUE)}" in line for line in child.stderr)
        yield child
    finally:
        child.kill()
        child.wait()
        assert child.stderr is not None
        child.stderr.close()


def files_with_the_value(*folders: object) -> list[str]:
    """The files of this mount namespace, which is not the build's."""
    found = []
    for top in folders:
        for folder, _, names in os.walk(str(top)):
            for name in names:
                path = os.path.join(folder, name)
                with suppress(OSError):
                    if os.path.isfile(path) and os.path.getsize(path) < 10 << 20:
                        with open(path, "rb") as file:
                            if VALUE.encode() in file.read():
                                found.append(path)
    return found


def test_no_other_user_reads_it(build: subprocess.Popen[str], lamina: Lamina) -> None:
    bundles = set()
    for line in map(read, glob.glob("/proc/[0-9]*/cmdline")):
        arguments = line.split("\0")
        if "--bundle" in arguments and str(lamina.root) in line:
            bundles.add(arguments[arguments.index("--bundle") + 1])
    assert len(bundles) == 1
    (bundle,) = bundles
    assert not os.path.exists(bundle)  # it is in the build's own mount namespace
    inside = f"/proc/{build.pid}/root{bundle}"
    for path in (inside, os.path.dirname(inside)):
        assert os.stat(path).st_mode & 0o777 == 0o700
    assert os.stat(f"{inside}/config.json").st_mode & 0o777 == 0o600
    assert VALUE in read(f"{inside}/config.json")
    for path in (inside, f"{inside}/config.json", bundle):
        assert subprocess.run([*AS_NOBODY, "ls", path], capture_output=True).returncode != 0


def test_it_is_on_no_disk_also_after_a_kill(build: subprocess.Popen[str], lamina: Lamina) -> None:
    assert files_with_the_value(lamina.root, "/dev/shm", "/run") == []
    build.send_signal(signal.SIGKILL)
    build.wait()
    deadline = time.monotonic() + 5
    while running("sleep 54331") and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not running("sleep 54331")
    assert files_with_the_value(lamina.root, "/dev/shm", "/run") == []
    assert os.listdir(lamina.root / "private") == []


def test_it_is_in_no_list_of_processes(build: subprocess.Popen[str]) -> None:
    assert not any(VALUE in line for line in map(read, glob.glob("/proc/[0-9]*/cmdline")))


def test_a_pipe_serves_every_step(lamina: Lamina, context: Callable[..., Path]) -> None:
    steps = "".join(
        f"RUN --mount=type=secret,id=p,target=/p,required=true test $(cat /p) = piped # {n}\n"
        for n in range(3)
    )
    folder = context(f"FROM base\n{steps}")
    command = lamina.command("build", "--secret", "id=p,src=/dev/stdin", str(folder))
    done = subprocess.run(command, input=b"piped", capture_output=True)
    assert done.returncode == 0, done.stderr


def test_an_empty_pipe_is_no_required_secret(lamina: Lamina, context: Callable[..., Path]) -> None:
    step = "RUN --mount=type=secret,id=p,required=true true\n"
    folder = context(f"FROM base\n{step}")
    command = lamina.command("build", "--secret", "id=p,src=/dev/stdin", str(folder))
    done = subprocess.run(command, input=b"", capture_output=True, text=False)
    assert done.returncode == 1
    assert b"secret p: not found" in done.stderr


def read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def running(command: str) -> bool:
    return any(
        command in line.replace("\0", " ") for line in map(read, glob.glob("/proc/[0-9]*/cmdline"))
    )

"""The features of builds as an ordinary user: outputs, caches, mounts, several builds, kills."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import tarfile
import time
from typing import TYPE_CHECKING

import pytest

from tests.ordinary_user import UserLamina
from tests.real_registry import running_registry
from tests.rootless.conftest import write_context
from tests.rootless.test_builds import layers_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.ordinary_user import OrdinaryUser

_MANY = 10_000


@pytest.mark.parametrize("kind", ["oci", "docker", "tar", "local", "image"])
def test_every_exporter(
    kind: str, user_lamina: UserLamina, user_context: Callable[..., Path]
) -> None:
    folder = user_context(
        "RUN echo text > /file && chmod 4711 /file\nCOPY --chown=7:8 one /one\n", {"one": "1\n"}
    )
    out = user_lamina.user.home / "out"
    output = "type=image,name=kept:1" if kind == "image" else f"type={kind},dest={out}"
    user_lamina.build(folder, "-o", output)
    if kind == "image":
        done = user_lamina("run", "--rm", "kept:1", "cat", "/file")
        assert (done.code, done.out) == (0, "text\n"), done.err
    elif kind == "local":
        assert (out / "file").read_text() == "text\n"
        assert (out / "file").stat().st_mode & 0o7777 == 0o4711
        assert (out / "one").stat().st_uid == user_lamina.user.uid
    elif kind == "tar":
        with tarfile.open(out) as archive:
            assert archive.getmember("file").mode == 0o4711
            assert (archive.getmember("one").uid, archive.getmember("one").gid) == (7, 8)
    else:
        assert tarfile.is_tarfile(out)


@pytest.mark.parametrize("backend", ["registry", "local"])
def test_caches_with_cache_mounts(
    backend: str, user_lamina: UserLamina, user_context: Callable[..., Path], tmp_path: Path
) -> None:
    folder = user_context(
        "RUN --mount=type=cache,id=c,target=/c echo kept > /c/file && touch /made\n"
    )
    with running_registry(tmp_path) as registry:
        place = f"{user_lamina.user.home}/cache"
        to, source = f"type=local,dest={place}", f"type=local,src={place}"
        if backend == "registry":
            to = source = f"type=registry,ref={registry}/cache"
        user_lamina.build(folder, "--cache-to", f"{to},mode=max,mounts=true")
        other = UserLamina(user_lamina.user, "other")
        log = other.build(folder, "--cache-from", f"{source},mounts=true")
        assert "CACHED" in log
        reads = write_context(
            user_lamina.user, "RUN --mount=type=cache,id=c,target=/c cat /c/file > /seen\n"
        )
        out = user_lamina.user.home / "out"
        other.build(reads, "--cache-from", f"{source},mounts=true", "-o", f"type=local,dest={out}")
    assert (out / "seen").read_text() == "kept\n"


def test_mounts_of_all_types(user_lamina: UserLamina, user_context: Callable[..., Path]) -> None:
    folder = user_context(
        "RUN --mount=type=secret,id=s,uid=5,gid=6,mode=0440 "
        "--mount=type=tmpfs,target=/t --mount=type=bind,source=one,target=/b "
        "--mount=type=bind,target=/w,rw "
        "cat /run/secrets/s /b && touch /t/x /w/y && touch /done\n",
        {"one": "bound\n"},
    )
    secret = user_lamina.user.home / "secret"
    secret.write_text("hidden\n")
    user_lamina.user.own(secret)
    log = user_lamina.build(folder, "--secret", f"id=s,src={secret}")
    assert "bound" in log
    assert not (folder / "y").exists()


def test_ten_thousand_foreign_files(
    user_lamina: UserLamina, user_context: Callable[..., Path]
) -> None:
    folder = user_context(
        "FROM scratch AS files\nADD many.tar /\n"
        "FROM base\nCOPY --from=files / /many\nRUN touch /after\n"
    )
    with tarfile.open(folder / "many.tar", "w") as archive:
        for number in range(_MANY):
            info = tarfile.TarInfo(f"{number % 100}/{number}")
            info.uid, info.gid, info.size = 100_000 + number, 200_000 + number, 4
            archive.addfile(info, io.BytesIO(b"data"))
    user_lamina.user.own(folder)
    out = user_lamina.user.home / "out"
    user_lamina.build(folder, "-o", f"type=oci,dest={out}")
    found = {
        member.name.rpartition("/")[2]: (member.uid, member.gid)
        for layer in layers_of(out)
        for member in layer
        if member.isfile() and member.name.startswith("many/")
    }
    assert found == {str(n): (100_000 + n, 200_000 + n) for n in range(_MANY)}


def test_two_builds_at_once(user_lamina: UserLamina, user_context: Callable[..., Path]) -> None:
    folder = user_context("ARG N\nRUN echo $N && sleep 0.2 && touch /a && chown 0 /a\n")
    running = [
        subprocess.Popen(
            user_lamina.command("build", "--build-arg", f"N={number}", str(folder)),
            env=user_lamina.environment(),
            stderr=subprocess.PIPE,
        )
        for number in range(3)
    ]
    for process in running:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors.decode()


def test_nothing_is_left_after_a_kill(ranged: OrdinaryUser) -> None:
    lamina = UserLamina(ranged)
    mark = f"{10**9 + os.getpid()}"
    folder = write_context(ranged, f"RUN mkdir -m 700 /d && chown 12 /d && sleep {mark}\n")
    command = lamina.command("build", "--progress=plain", str(folder))
    process = subprocess.Popen(command, env=lamina.environment(), stderr=subprocess.DEVNULL)
    _wait_until(lambda: _running(f"sleep\0{mark}"))
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    _wait_until(lambda: not _running(mark))
    with open("/proc/mounts", encoding="utf-8") as mounts:
        assert str(ranged.home) not in mounts.read()

    def is_clean() -> bool:
        """The runtime of the killed step may still end: what it uses is removed after it."""
        done = lamina("prune", "--all", "--force")
        assert done.code == 0, done.err
        return not [
            path.name
            for path in (lamina.root / "tmp").iterdir()
            if path.is_dir() and path.name != "ingest"
        ]

    _wait_until(is_clean)


def test_resource_limits_are_reported(ranged: OrdinaryUser) -> None:
    lamina = UserLamina(ranged)
    folder = write_context(ranged, "RUN true\n")
    assert "resource limits" in lamina.build(folder, "--memory", "100m")


def _running(text: str) -> bool:
    """Whether a process has this in its command line."""
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", encoding="utf-8", errors="replace") as file:
                if text in file.read():
                    return True
        except OSError:
            continue
    return False


def _wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)

"""`lamina build --verify`: real builds that are reproducible, and some that are not."""

from __future__ import annotations

import io
import itertools
import json
import os
import sqlite3
import subprocess
import sys
import tarfile
import threading
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from tests.real_registry import running_registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.commands import Done, Lamina

FIXED = ("--build-arg=SOURCE_DATE_EPOCH=0", "-o", "type=image,rewrite-timestamp=true")


def verified(lamina: Lamina, folder: Path, *args: str) -> Done:
    done = lamina("build", "--verify", "--progress=plain", *args, str(folder))
    assert os.listdir(lamina.root / "tmp") == ["ingest"], "something is left behind"
    return done


def test_a_reproducible_build(lamina: Lamina, context: Callable[..., Path], tmp_path: Path) -> None:
    folder = context("FROM base\nRUN echo 1 > /f\nCOPY file /file\n", {"file": "content"})
    done = verified(lamina, folder, *FIXED, f"--iidfile={tmp_path}/id", "-t", "app")
    assert done.code == 0, done.out
    assert done.out.startswith("Reproducible (linux/")
    assert "Building again in an empty store to verify the image:" in done.err
    (verdict,) = json.loads(verified(lamina, folder, *FIXED, "--format=json").out)
    assert verdict["reproducible"]
    assert verdict["before"] == verdict["after"]
    second = done.err.partition("Building again")[2]
    assert "RUN echo 1 > /f" in second
    assert "CACHED" not in second
    # The outputs, and the records, are those of the first builds.
    with closing(sqlite3.connect(lamina.root / "meta.db")) as database:
        assert database.execute("SELECT COUNT(*) FROM builds").fetchone() == (2,)
    assert (tmp_path / "id").read_text().startswith("sha256:")
    assert [line.split()[0] for line in lamina("images").out.splitlines()[1:]] == ["app"]


ORDER = (
    "n=$(cat /proc/sys/kernel/random/uuid); for f in a b c d e f g h i j k l m n o p; do"
    ' echo "$(echo $f$n | md5sum) $f"; done | sort | sed "s/.* //" > /list'
)


@pytest.mark.parametrize(
    ("command", "path", "cause"),
    [
        ("sleep 1.1 && date > /f", "/f (content)", "timestamp: it differs only in dates or times"),
        ("sleep 1.1 && date | md5sum > /f", "/f (content)", "timestamp: the step probably uses"),
        (
            "head -c 8 /dev/urandom > /f",
            "/f (content)",
            "randomness: the step probably uses",
        ),
        (ORDER, "/list (content)", "ordering: it has the same lines in another order"),
    ],
)
def test_causes_of_differences_are_reported(
    lamina: Lamina, context: Callable[..., Path], command: str, path: str, cause: str
) -> None:
    folder = context(f"FROM base\nRUN echo same > /same\nRUN {command}\n")
    done = verified(lamina, folder, *FIXED)
    assert done.code == 1, done.out
    assert done.out.startswith("Not reproducible (linux/")
    (layer,) = [line for line in done.out.splitlines() if line.startswith("Layer ")]
    assert layer.startswith(f"Layer 4: RUN /bin/sh -c {command[:60]}")
    assert f"  differs:  {path}\n" in done.out
    assert f"  cause:    {cause}" in done.out
    assert "  hint:     " in done.out


def test_times_make_every_build_differ_unless_they_are_set(
    lamina: Lamina, context: Callable[..., Path]
) -> None:
    done = verified(lamina, context("FROM base\nRUN echo 1 > /f\n"))
    assert done.code == 1
    assert "  differs:  /f (time)\n" in done.out
    assert "  cause:    timestamp: only the modification time of files differs" in done.out
    assert "  hint:     set SOURCE_DATE_EPOCH" in done.out


@pytest.fixture
def counter() -> Iterator[str]:
    """The address of a server that answers differently each time."""
    numbers = itertools.count(1)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = f"answer {'x' * next(numbers)}".encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def test_a_server_that_gives_another_answer(
    lamina: Lamina, context: Callable[..., Path], counter: str
) -> None:
    folder = context(f"FROM base\nRUN --network=host wget -q -O /page {counter}\n")
    done = verified(lamina, folder, *FIXED, "--allow=network.host")
    assert done.code == 1, done.err
    assert "  differs:  /page (content)\n" in done.out
    assert "  cause:    network: the step probably uses the network (`wget`)" in done.out


def test_base_images_are_those_of_the_first_build(
    machine: Callable[[str], Lamina], context: Callable[..., Path], tmp_path: Path
) -> None:
    with running_registry(tmp_path / "registry") as host:
        maker = machine("maker")
        maker.build(context("FROM base\n"), "--push", "-t", f"{host}/base:1")
        lamina = machine("other")
        lamina.build(context("FROM base\nRUN echo local > /local\n"), "-t", "local")
        folder = tmp_path / "on-both"
        folder.mkdir()
        (folder / "Dockerfile").write_text(
            f"FROM {host}/base:1\nRUN echo 1 > /f\nCOPY --from=local /local /local\n"
        )
        done = verified(lamina, folder, *FIXED)
        assert done.code == 0, done.out + done.err


def test_every_platform_has_a_verdict(lamina: Lamina, tmp_path: Path) -> None:
    folder = tmp_path / "context"
    folder.mkdir()
    (folder / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
    done = verified(lamina, folder, *FIXED, "--platform=linux/amd64,linux/arm64")
    assert done.code == 0, done.err
    assert [line.partition(":")[0] for line in done.out.splitlines()] == [
        "Reproducible (linux/amd64)",
        "Reproducible (linux/arm64)",
    ]


def test_cache_mounts_are_empty_in_the_second_build(
    lamina: Lamina, context: Callable[..., Path]
) -> None:
    command = "RUN --mount=type=cache,target=/c echo x >> /c/n && cp /c/n /n"
    folder = context(f"FROM base\n{command}\n")
    assert verified(lamina, folder, *FIXED).code == 0
    folder = context(f"FROM base\n{command} && true\n")
    done = verified(lamina, folder, *FIXED)
    assert done.code == 1
    assert "  differs:  /n (content)\n" in done.out


def test_a_failing_second_build_is_an_error(lamina: Lamina, context: Callable[..., Path]) -> None:
    command = "RUN --mount=type=cache,target=/c test -e /c/full"
    seed = context("FROM base\nRUN --mount=type=cache,target=/c touch /c/full\n")
    lamina.build(seed)
    done = verified(lamina, context(f"FROM base\n{command}\n"))
    assert done.code == 1
    assert "Building again" in done.err
    assert "ERROR: " in done.err
    assert "Reproducible" not in done.out


def test_unsupported_combinations_with_verify(lamina: Lamina, context: Callable[..., Path]) -> None:
    folder = context("FROM base\n")
    for arguments, reason in (
        (["--check"], "--verify and --check cannot be combined"),
        (["--call=outline"], "--verify and --call cannot be combined"),
        (
            ["-o", "type=oci,dest=-"],
            "--verify cannot be combined with an output to",
        ),
    ):
        done = lamina("build", "--verify", *arguments, str(folder))
        assert (done.code, done.out) == (1, "")
        assert f"ERROR: {reason}" in done.err
    command = [sys.executable, "-m", "lamina", "build", "--verify", "--builder=unix:///nowhere"]
    failed = subprocess.run([*command, str(folder)], capture_output=True, text=True)
    assert failed.returncode == 1
    assert "cannot build in an empty store" in failed.stderr
    assert "hint: build without a daemon" in failed.stderr


def test_an_archive_on_standard_input(lamina: Lamina, context: Callable[..., Path]) -> None:
    folder = context("FROM base\nRUN echo 1 > /f\n")
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.add(folder, "")
    done = lamina("build", "--verify", *FIXED, "-", stdin=packed.getvalue())
    assert done.code == 0, done.err

"""`--load` into a real `podman system service`."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.commands import Lamina


class Podman:
    """A service with a separate storage, and its command."""

    def __init__(self, folder: Path) -> None:
        self.socket = folder / "podman.sock"
        self.url = f"unix://{self.socket}"
        self._options = [
            *["podman", "--root", str(folder / "root"), "--runroot", str(folder / "run")],
            *["--storage-driver", "vfs", "--cgroup-manager", "cgroupfs"],
        ]

    @contextlib.contextmanager
    def serving(self) -> Iterator[Podman]:
        service = subprocess.Popen(
            [*self._options, "system", "service", "-t", "0", self.url],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            deadline = time.monotonic() + 20
            while not self.socket.exists():
                assert service.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.02)
            yield self
        finally:
            service.terminate()
            service.wait(10)

    def __call__(self, *args: str) -> str:
        done = subprocess.run([*self._options, *args], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def file(self, image: str, path: str) -> str:
        """The content of a file of an image; nothing is run."""
        container = self("create", image, "none").strip()
        folder = self("mount", container).strip()
        try:
            with open(folder + path) as file:
                return file.read()
        finally:
            self("rm", container)


@pytest.fixture(scope="module")
def podman() -> Iterator[Podman]:
    # Not below pytest's directory: podman takes a runroot of at most 50 characters.
    folder = Path(tempfile.mkdtemp(prefix="lamina-"))
    try:
        with Podman(folder).serving() as service:
            yield service
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def test_an_image_is_loaded_under_all_its_names_and_once(
    podman: Podman, lamina: Lamina, context: Callable[..., Path], tmp_path: Path
) -> None:
    folder = context("RUN echo one > /file\nCMD cat /file\n")
    env = {"DOCKER_HOST": podman.url}
    iid = tmp_path / "iid"
    names = ["-t", "load/demo:1", "-t", "localhost/other"]
    log = lamina.build(folder, "--load", *names, "--iidfile", str(iid), env=env)
    assert "layers sent: none" not in log
    image = iid.read_text().removeprefix("sha256:")
    for name in ("docker.io/load/demo:1", "localhost/other:latest"):
        assert podman("inspect", "--format", "{{.Id}}", name).strip() == image
    assert podman.file("load/demo:1", "/file") == "one\n"
    # Unchanged: nothing is sent. With one more name: only the name.
    for more in ([], ["-t", "load/third"]):
        log = lamina.build(folder, "-o", "type=docker", *names, *more, env=env)
        assert "layers sent: none" in log
    assert podman("inspect", "--format", "{{.Id}}", "load/third").strip() == image


def test_only_the_layers_that_it_lacks_are_sent(
    podman: Podman, lamina: Lamina, context: Callable[..., Path], tmp_path: Path
) -> None:
    folder = context("RUN echo grown > /file\n")
    env = {"DOCKER_HOST": podman.url}
    lamina.build(folder, "--load", "-t", "load/grown", env=env)
    whole = sum(_layer_sizes(lamina, folder, tmp_path))
    with (folder / "Dockerfile").open("a") as file:
        file.write("RUN echo more > /more\n")
    log = lamina.build(folder, "--load", "-t", "load/grown", env=env)
    sent = int(log.split("layers sent: ")[1].split(" bytes")[0])
    assert 0 < sent < whole / 10
    assert podman.file("load/grown", "/file") == "grown\n"
    assert podman.file("load/grown", "/more") == "more\n"
    # Layers that it has only in another form are sent.
    options = "type=docker,compression=zstd,force-compression=true"
    with (folder / "Dockerfile").open("a") as file:
        file.write("RUN echo last > /last\n")
    lamina.build(folder, "-o", options, "-t", "load/zstd", env=env)
    assert podman.file("load/zstd", "/last") == "last\n"
    assert podman.file("load/zstd", "/file") == "grown\n"


def _layer_sizes(lamina: Lamina, folder: Path, tmp_path: Path) -> list[int]:
    lamina.build(folder, "-o", f"type=oci,tar=false,dest={tmp_path}/layout")
    layout = tmp_path / "layout"
    index = json.loads((layout / "index.json").read_text())
    digest = index["manifests"][0]["digest"].replace(":", "/")
    manifest = json.loads((layout / "blobs" / digest).read_text())
    return [layer["size"] for layer in manifest["layers"]]


def test_an_image_without_a_name(
    podman: Podman, lamina: Lamina, context: Callable[..., Path], tmp_path: Path
) -> None:
    folder = context("RUN echo nameless > /file\n")
    iid = tmp_path / "iid"
    env = {"DOCKER_HOST": podman.url}
    lamina.build(folder, "--load", "--iidfile", str(iid), env=env)
    assert podman.file(iid.read_text(), "/file") == "nameless\n"


def test_load_uses_the_current_docker_context(
    podman: Podman, lamina: Lamina, context: Callable[..., Path], tmp_path: Path
) -> None:
    config = tmp_path / "docker"
    meta = config / "contexts" / "meta" / hashlib.sha256(b"mine").hexdigest()
    meta.mkdir(parents=True)
    (meta / "meta.json").write_text(
        json.dumps({"Name": "mine", "Endpoints": {"docker": {"Host": podman.url}}})
    )
    (config / "config.json").write_text(json.dumps({"currentContext": "mine"}))
    env = {"DOCKER_CONFIG": str(config), "DOCKER_HOST": ""}
    folder = context("RUN echo context > /file\n")
    log = lamina.build(folder, "--load", "-t", "load/context", env=env)
    assert f"loading into {podman.url}" in log
    (config / "config.json").unlink()
    log = lamina.build(folder, "-o", "type=docker,context=mine", "-t", "load/context", env=env)
    assert "layers sent: none" in log
    lost = lamina("build", "-o", "type=docker,context=yours", str(folder), env=env)
    assert lost.code == 1
    assert 'no Docker context "yours"' in lost.err


def test_errors_contain_hints(lamina: Lamina, context: Callable[..., Path], tmp_path: Path) -> None:
    folder = context("")
    for url, words in (
        (f"unix://{tmp_path}/none", "is it running?"),
        ("tcp://127.0.0.1:1", "is it running?"),
        ("ssh://host", "forward its socket"),
        ("nonsense", "not the address of a Docker host"),
    ):
        done = lamina("build", "--load", str(folder), env={"DOCKER_HOST": url})
        assert done.code == 1
        assert words in done.err


@pytest.mark.parametrize("after", [0, 200_000])
def test_a_host_that_refuses_or_dies(
    after: int, lamina: Lamina, context: Callable[..., Path], tmp_path: Path
) -> None:
    """It reads a part of the archive, answers with an error, and hangs up."""
    path = str(tmp_path / "stub.sock")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                head = connection.recv(65536)
                if head.startswith(b"POST /images/load"):
                    read = 0
                    while read < after:
                        read += len(connection.recv(65536))
                    connection.sendall(_answer(500, b'{"message":"no space left on device"}'))
                elif head.startswith(b"GET /info"):
                    connection.sendall(_answer(200, b"{}"))
                elif head.startswith(b"GET /images/json"):
                    connection.sendall(_answer(200, b"[]"))
                else:
                    connection.sendall(_answer(404, b"{}"))

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        done = lamina("build", "--load", str(context("")), env={"DOCKER_HOST": f"unix://{path}"})
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()
    assert done.code == 1
    assert "no space left on device" in done.err or "cannot connect to" in done.err


def _answer(status: int, body: bytes) -> bytes:
    return b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body)

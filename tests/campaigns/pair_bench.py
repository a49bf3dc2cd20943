"""The resources that the cases of `pairs` share: builders, base images, and sources of contexts."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
import threading
from contextlib import ExitStack, contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

from tests.campaigns.machine import soon
from tests.commands import Lamina, RemoteLamina
from tests.corpus.corpus_image import make_bases
from tests.daemon_process import DaemonProcess
from tests.e2e.test_git import git
from tests.real_registry import free_port, running_registry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BOTH = "linux/amd64,linux/arm64"
_BASE = "FROM scratch\nCOPY base /base/file\nENV BASE=yes\n"


class Bench:
    """Registry and base images, a web server, a git server, and daemons by name."""

    def __init__(self, folder: Path, registry: str, doors: dict[str, RemoteLamina]) -> None:
        self.folder = folder
        self.registry = registry
        self.doors = doors
        self.daemon_root = folder / "daemon"
        self.tools = folder / "tools"
        self.layout = folder / "layout"
        self.served = folder / "served"
        self.web = ""
        self.git = ""

    def make_bases(self) -> None:
        """Make the same base image for two platforms, in a registry and in a layout, and one with a
        shell."""
        make_bases(self.tools)
        self.served.mkdir()
        lamina = Lamina(self.folder / "making")
        lamina.build(self.base_folder(), *self.base_flags("layout"))
        lamina.build(self.base_folder(), *self.base_flags("push"))

    def base_folder(self) -> Path:
        folder = self.folder / "base"
        folder.mkdir(exist_ok=True)
        (folder / "Dockerfile").write_text(_BASE)
        (folder / "base").write_text("base\n")
        return folder

    def base_flags(self, kind: str) -> list[str]:
        """The base image is always equal, to the byte."""
        output = {
            "layout": f"type=oci,dest={self.layout},tar=false,name=base:1",
            "push": f"type=image,name={self.registry}/pairs/base:1,push=true",
            "store": "type=image,name=pairs-base",
        }[kind]
        flags = [f"--platform={BOTH}", "--provenance=false", "--build-arg=SOURCE_DATE_EPOCH=1"]
        return [*flags, "-o", f"{output},rewrite-timestamp=true"]

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Serve the files in `served`, by HTTP and by git."""
        handler = partial(_Quiet, directory=str(self.served))
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        port = free_port()
        command = ["git", "daemon", "--export-all", "--reuseaddr", "--listen=127.0.0.1"]
        command += [f"--port={port}", f"--base-path={self.served}", str(self.served)]
        daemon = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        self.web = f"http://127.0.0.1:{server.server_address[1]}"
        self.git = f"git://127.0.0.1:{port}"
        thread.start()
        try:
            yield
        finally:
            daemon.terminate()
            daemon.wait()
            server.shutdown()
            thread.join()
            server.server_close()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def packed(folder: Path) -> bytes:
    """A context as an archive."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        tar.add(folder, ".")
    return data.getvalue()


def committed(folder: Path, place: Path) -> None:
    """A context as a repository."""
    subprocess.run(["cp", "-a", str(folder), str(place)], check=True)
    git(place, "init", "-q", "-b", "main")
    git(place, "add", "-A")
    git(place, "commit", "-qm", "all")


@contextmanager
def open_bench(folder: Path) -> Iterator[Bench]:
    """Run all services during the block, including BuildKit if BUILDKITD and BUILDCTL name it."""
    with ExitStack() as stack:
        registry = stack.enter_context(running_registry(folder / "registry"))
        daemon = stack.enter_context(DaemonProcess(folder / "daemon"))
        doors = {"daemon": RemoteLamina(folder, daemon.address)}
        if "BUILDKITD" in os.environ and "BUILDCTL" in os.environ:
            doors["buildkitd"] = stack.enter_context(_buildkitd(folder))
        bench = Bench(folder, registry, doors)
        bench.make_bases()
        stack.enter_context(bench.serving())
        yield bench
        assert "Traceback" not in daemon.read_log(), daemon.log


@contextmanager
def _buildkitd(folder: Path) -> Iterator[RemoteLamina]:
    """A buildkitd with a separate root."""
    address = f"unix://{folder}/buildkitd.sock"
    command = [os.environ["BUILDKITD"], "--root", str(folder / "buildkit"), "--addr", address]
    with open(folder / "buildkitd.log", "wb") as log:
        process = subprocess.Popen(command, stderr=log)
    ask = [os.environ["BUILDCTL"], "--addr", address, "debug", "workers"]
    try:
        assert soon(lambda: subprocess.run(ask, capture_output=True).returncode == 0, 30)
        yield RemoteLamina(folder, address)
    finally:
        process.terminate()
        process.wait(30)

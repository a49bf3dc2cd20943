"""A layer of a base image that never arrives: a waiting build ends when it gets a signal."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from tests.real_registry import running_registry
from tests.registry.registry_server import FaultProxy, Handler, stall

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.commands import Lamina

READERS = {
    "command": "RUN true\n",
    "owner by name": "COPY --chown=nobody Dockerfile /\n",
    "copied content": "FROM scratch\nCOPY --from=base /bin /\n",
    "mounted content": "FROM scratch\nRUN --mount=from=base,source=/bin,target=/bin true\n",
}


@pytest.mark.parametrize("reader", READERS)
def test_a_build_that_waits_for_a_layer_ends(
    reader: str, machine: Callable[[str], Lamina], context: Callable[..., Path], tmp_path: Path
) -> None:
    with running_registry(tmp_path / "registry") as upstream, FaultProxy(upstream) as proxy:
        machine("maker").build(context("RUN true\n"), "-t", f"{upstream}/base:1", "--push")
        inspected = subprocess.run(
            ["skopeo", "inspect", "--tls-verify=false", f"docker://{upstream}/base:1"],
            check=True,
            capture_output=True,
        )
        layers = json.loads(inspected.stdout)["Layers"]

        def fault(handler: Handler) -> bool:
            if handler.command == "GET" and any(layer in handler.path for layer in layers):
                stall(handler)
                return True
            return False

        proxy.always = fault
        folder = tmp_path / "using"
        folder.mkdir()
        (folder / "Dockerfile").write_text(f"FROM {proxy.host}/base:1 AS base\n{READERS[reader]}")
        lamina = machine("user")
        process = subprocess.Popen(
            lamina.command("build", "--progress=plain", str(folder)), stderr=subprocess.DEVNULL
        )
        try:
            deadline = time.monotonic() + 30
            while not any("/blobs/" in seen.path for seen in proxy.seen if seen.method == "GET"):
                assert time.monotonic() < deadline
                assert process.poll() is None
                time.sleep(0.02)
            time.sleep(0.3)
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 128 + signal.SIGTERM
        finally:
            process.kill()
            process.wait()
            proxy.stop.set()

"""The daemon of an ordinary user, at the address of a rootless buildkitd."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.commands import Lamina, RemoteLamina
from tests.ordinary_user import UserLamina
from tests.rootless.conftest import write_context

if TYPE_CHECKING:
    from tests.ordinary_user import OrdinaryUser


@pytest.mark.parametrize("runtime", ["crun", "runc"])
def test_builds_through_a_daemon_of_a_user(
    runtime: str, ranged: OrdinaryUser, tmp_path: Path
) -> None:
    lamina = UserLamina(ranged)
    place = ranged.home / "run" / "buildkit" / "buildkitd.sock"
    log = tmp_path / "log"
    with open(log, "wb") as errors:
        daemon = subprocess.Popen(
            lamina.command("daemon", "--rootless", "--oci-worker-binary", runtime),
            env=lamina.environment(),
            stderr=errors,
        )
    try:
        deadline = time.monotonic() + 60
        while "running server on" not in log.read_text():
            assert daemon.poll() is None, log.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        folder = write_context(ranged, "RUN cat /proc/self/uid_map > /map && chown 12:13 /map\n")
        client = RemoteLamina(tmp_path, f"unix://{place}")
        client.build(folder, "-o", f"type=local,dest={tmp_path / 'out'}")
        inside, outside, _ = (tmp_path / "out" / "map").read_text().split("\n")[0].split()
        assert (inside, outside) == ("0", str(ranged.uid))
        assert Path(tmp_path / "out" / "map").stat().st_uid == 0  # the client is root
    finally:
        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(60) == 0


def test_rootless_mode_needs_another_user(lamina: Lamina) -> None:
    done = lamina("daemon", "--rootless", "--addr", "unix:///nowhere/socket")
    assert done.code == 1
    assert "the daemon runs as root of the machine" in done.err

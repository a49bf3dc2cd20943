"""Keys for an SSH agent from unusual files."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from lamina.base.errors import Cancelled, InvalidInput
from lamina.client.contract import SessionProviders, SshSpec
from lamina.client.providers import EmbeddedSession
from lamina.client.ssh_keys import KeyAgent
from lamina.system.cancel import Cancellation

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(not shutil.which("ssh-agent"), reason="OpenSSH is not here")


def test_waiting_for_a_key_of_a_pipe_can_be_cancelled(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    providers = SessionProviders(ssh=(SshSpec("default", (str(pipe),)),))
    session = EmbeddedSession({}, providers)
    cancel = Cancellation()
    with ThreadPoolExecutor() as pool:
        waiting = [pool.submit(session.ssh_socket, "default", cancel) for _ in range(2)]
        with pipe.open("wb"):  # returns when it is opened for reading
            cancel.cancel()
            for one in waiting:
                with pytest.raises(Cancelled):
                    one.result()
    session.close()


def test_a_key_of_a_pipe(tmp_path: Path) -> None:
    key, pipe = tmp_path / "key", tmp_path / "pipe"
    subprocess.run(["ssh-keygen", "-q", "-N", "", "-t", "ed25519", "-f", str(key)], check=True)
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes(key.read_bytes()))
    writer.start()
    agent = KeyAgent("default", [str(pipe)], Cancellation())
    try:
        environ = {**os.environ, "SSH_AUTH_SOCK": agent.socket}
        listed = subprocess.run(
            ["ssh-add", "-L"], env=environ, capture_output=True, text=True, check=True
        )
        assert listed.stdout.split()[1] == key.with_suffix(".pub").read_text().split()[1]
    finally:
        agent.close()
        writer.join()


def test_endless_files_are_not_keys() -> None:
    with pytest.raises(InvalidInput, match="too large for a key"):
        KeyAgent("default", ["/dev/zero"], Cancellation())

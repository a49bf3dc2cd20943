"""Keys for an SSH agent of our own that come from odd files."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from typing import TYPE_CHECKING

import pytest

from lamina.base.errors import InvalidInput, Unavailable
from lamina.client import ssh_keys
from lamina.client.ssh_keys import KeyAgent

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(not shutil.which("ssh-agent"), reason="OpenSSH is not here")


def test_a_pipe_without_a_key_does_not_hold_the_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ssh_keys, "_PIPE", 0.1)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(Unavailable, match="nobody wrote a key"):
        KeyAgent("default", [str(tmp_path / "pipe")])


def test_a_key_of_a_pipe(tmp_path: Path) -> None:
    key, pipe = tmp_path / "key", tmp_path / "pipe"
    subprocess.run(["ssh-keygen", "-q", "-N", "", "-t", "ed25519", "-f", str(key)], check=True)
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes(key.read_bytes()))
    writer.start()
    agent = KeyAgent("default", [str(pipe)])
    try:
        environ = {**os.environ, "SSH_AUTH_SOCK": agent.socket}
        listed = subprocess.run(
            ["ssh-add", "-L"], env=environ, capture_output=True, text=True, check=True
        )
        assert listed.stdout.split()[1] == key.with_suffix(".pub").read_text().split()[1]
    finally:
        agent.close()
        writer.join()


def test_what_never_ends_is_no_key() -> None:
    with pytest.raises(InvalidInput, match="larger than a key"):
        KeyAgent("default", ["/dev/zero"])

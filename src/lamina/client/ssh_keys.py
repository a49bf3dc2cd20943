"""An SSH agent for keys that were given as files."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput, NotFound, Unavailable, from_os_error
from lamina.client.pipe_reading import read_whole
from lamina.system.removal import discard_tree

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lamina.system.cancel import Cancellation

_START = 5.0
_LARGEST_KEY = 1 << 20


class KeyAgent:
    """OpenSSH's `ssh-agent` with some keys. It ends at `close`, or with this process.

    Waits for keys from pipes. Raises NotFound (no OpenSSH here, no such key), InvalidInput (not a
    key, or one with a passphrase), Unavailable, Cancelled.
    """

    def __init__(self, agent_id: str, keys: Sequence[str], cancel: Cancellation) -> None:
        if not shutil.which("ssh-agent") or not shutil.which("ssh-add"):
            raise NotFound(
                f"--ssh {agent_id}: ssh-agent is not installed",
                hint="install openssh-client, or give an agent's socket",
            )
        self._folder = tempfile.mkdtemp(prefix="lamina-ssh-")
        self.socket = os.path.join(self._folder, "agent")
        self._agent = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "--", "ssh-agent", "-D", "-a", self.socket],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            self._wait()
            for key in keys:
                self._add(agent_id, key, cancel)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Stop the agent."""
        self._agent.kill()
        self._agent.wait()
        discard_tree(self._folder)

    def _wait(self) -> None:
        deadline = time.monotonic() + _START
        while not os.path.exists(self.socket):
            if self._agent.poll() is not None or time.monotonic() > deadline:
                raise Unavailable("ssh-agent did not start")
            time.sleep(0.005)

    def _add(self, agent_id: str, key: str, cancel: Cancellation) -> None:
        # By standard input: ssh-add checks a file's mode, which is often wrong for secrets of a CI.
        try:
            data = _read_key(key, cancel)
        except OSError as error:
            raise from_os_error(error, f"read the key of --ssh {agent_id}") from error
        environ = {**os.environ, "SSH_AUTH_SOCK": self.socket, "SSH_ASKPASS_REQUIRE": "never"}
        done = subprocess.run(
            ["ssh-add", "-q", "-"], input=data, env=environ, capture_output=True, check=False
        )
        if done.returncode:
            raise InvalidInput(
                f"--ssh {agent_id}={key} is not a usable key: "
                f"{done.stderr.decode(errors='replace').strip()}",
                hint="a key with a passphrase must be loaded into an agent; pass the agent",
            )


def _read_key(path: str, cancel: Cancellation) -> bytes:
    """Read a key from a file or a pipe. Raises OSError, InvalidInput, Cancelled."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        data = read_whole(fd, _LARGEST_KEY, cancel)
    finally:
        os.close(fd)
    if len(data) > _LARGEST_KEY:
        raise InvalidInput(f"{path} is too large for a key")
    return data

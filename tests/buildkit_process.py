"""A real buildkitd as a separate process, for tests that compare with it."""

from __future__ import annotations

import os
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lamina.base.errors import LaminaError
from lamina.wire.address import dial

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BUILDKITD = "BUILDKITD"
"""The variable that names the program. Tests with a buildkitd run if it is set."""


@contextmanager
def running_buildkitd(folder: Path, *flags: str) -> Iterator[str]:
    """Run a buildkitd on a new root during the block. Returns its address."""
    address = f"unix://{folder}/buildkitd.sock"
    command = [os.environ[BUILDKITD], "--root", str(folder / "root"), "--addr", address]
    with (
        open(folder / "log", "w") as log,
        subprocess.Popen([*command, "--oci-worker-net=host", *flags], stderr=log) as process,
    ):
        try:
            while not _listens(address):
                assert process.poll() is None, (folder / "log").read_text()
                time.sleep(0.1)
            yield address
        finally:
            process.terminate()


def _listens(address: str) -> bool:
    try:
        dial(address).close()
    except LaminaError:
        return False
    return True

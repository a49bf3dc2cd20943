from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from lamina.base.errors import NotFound
from lamina.runtime.binary import find_runtime

if TYPE_CHECKING:
    from pathlib import Path

FIND = """
import os, resource
from lamina.runtime.binary import find_runtime
from lamina.system.mount import *
private_namespace()
os.system("umount -R /sys/fs/cgroup")
mount("cgroup2", "/sys/fs/cgroup", "cgroup2")
limit = 1 << 20
resource.setrlimit(resource.RLIMIT_MEMLOCK, (limit, limit))
print(os.path.basename(find_runtime()))
"""


def test_crun_is_preferred_unless_it_cannot_restrict_devices() -> None:
    assert os.path.basename(find_runtime()) == "crun"
    command = ["setpriv", "--bounding-set=-sys_resource", sys.executable, "-c", FIND]
    done = subprocess.run(command, capture_output=True)
    assert done.stdout == b"runc\n", done.stderr


def test_a_runtime_that_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NotFound, match="no OCI runtime found: youki"):
        find_runtime("youki")

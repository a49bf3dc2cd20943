"""The Builders that the contract's tests are run with, one by one.

They go through the command, as the one who calls Builders: an embedded one takes a mount
namespace, which is for a process of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.commands import Lamina, RemoteLamina
from tests.daemon_process import DaemonProcess

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(params=["embedded", "remote"])
def builder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Lamina]:
    if request.param == "embedded":
        yield Lamina(tmp_path / "store")
        return
    with DaemonProcess(tmp_path / "store", "--allow-insecure-entitlement=network.host") as daemon:
        yield RemoteLamina(tmp_path, daemon.address)

"""The Builders for the tests of the contract.

They run the command, because an embedded builder creates a mount namespace, which needs a separate
process.
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

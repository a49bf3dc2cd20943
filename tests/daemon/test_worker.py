"""What the daemon tells of itself: the devices that builds may ask for."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from lamina.api.worker import CDIDevice
from lamina.daemon.worker import Worker
from lamina.runtime.cdi import DeviceRegistry

if TYPE_CHECKING:
    from pathlib import Path


def test_devices_are_told_as_they_are_now(tmp_path: Path) -> None:
    worker = Worker("id", (), (), (), DeviceRegistry([str(tmp_path)]))
    assert worker.record().cdi_devices == ()
    free = {"org.mobyproject.buildkit.device.autoallow": "true"}
    devices = [{"name": "b"}, {"name": "a", "annotations": free}]
    (tmp_path / "x.json").write_text(json.dumps({"kind": "v.example/c", "devices": devices}))
    assert worker.record().cdi_devices == (
        CDIDevice("v.example/c=a", True, tuple(free.items())),
        CDIDevice("v.example/c=b"),
    )

"""The worker record: platforms, and the devices that builds may request."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from lamina.api.worker import CDIDevice
from lamina.base.platform import host_platform
from lamina.daemon.config import WorkerConfig
from lamina.daemon.worker import Worker, describe_worker
from lamina.runtime.cdi import DeviceRegistry
from lamina.runtime.emulation import platforms_here

if TYPE_CHECKING:
    from pathlib import Path


def test_devices_are_listed_as_they_are_now(tmp_path: Path) -> None:
    worker = Worker("id", (), (), (), DeviceRegistry([str(tmp_path)]))
    assert worker.record().cdi_devices == ()
    free = {"org.mobyproject.buildkit.device.autoallow": "true"}
    devices = [{"name": "b"}, {"name": "a", "annotations": free}]
    (tmp_path / "x.json").write_text(json.dumps({"kind": "v.example/c", "devices": devices}))
    assert worker.record().cdi_devices == (
        CDIDevice("v.example/c=a", True, tuple(free.items())),
        CDIDevice("v.example/c=b"),
    )


def test_platforms_are_those_that_run_here_unless_they_are_configured(tmp_path: Path) -> None:
    def told(*configured: str) -> list[str]:
        config = WorkerConfig(platforms=configured)
        worker = describe_worker(
            str(tmp_path), config, (), network="host", overlay=True, devices=DeviceRegistry(())
        )
        return list(map(str, worker.platforms))

    here = list(map(str, platforms_here()))
    own = str(host_platform())
    levels = [one for one in here if one.startswith(f"{own}/")]
    assert told() == here
    assert told("linux/s390x") == ["linux/s390x"]
    assert told(own, "linux/s390x", own) == [own, "linux/s390x", *levels]

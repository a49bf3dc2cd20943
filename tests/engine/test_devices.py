"""Devices for steps: which builds may use them, and their names."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from lamina.base.errors import InvalidInput, LaminaError, NotFound, PermissionDenied
from lamina.engine.devices import DeviceGrant, granted_devices, named_devices, read_grant
from lamina.llb.op import CDIDevice
from lamina.runtime.cdi import DeviceRegistry

if TYPE_CHECKING:
    from pathlib import Path

GPU = "v.example/gpu"


@pytest.fixture
def registry(tmp_path: Path) -> DeviceRegistry:
    devices = [{"name": name, "containerEdits": {}} for name in "01"]
    (tmp_path / "a.json").write_text(json.dumps({"kind": GPU, "devices": devices}))
    free = {"org.mobyproject.buildkit.device.autoallow": "true"}
    body = {"kind": "v.example/free", "devices": [{"name": "f", "annotations": free}]}
    (tmp_path / "b.json").write_text(json.dumps(body))
    return DeviceRegistry([str(tmp_path)])


@pytest.mark.parametrize(
    ("allowed", "wanted", "lent"),
    [
        (["device"], [GPU], [f"{GPU}=0"]),
        (["device"], [f"{GPU}=*", f"{GPU}=1"], [f"{GPU}=0", f"{GPU}=1"]),
        ([f"device={GPU}=1"], [f"{GPU}=1"], [f"{GPU}=1"]),
        ([f"device={GPU}=*"], [f"{GPU}=1"], [f"{GPU}=1"]),
        ([f"device={GPU}=1,alias=card"], ["card"], [f"{GPU}=1"]),
        ([], ["v.example/free=f"], ["v.example/free=f"]),
        ([], ["?v.example/gone=x"], []),
        (["device"], ["?v.example/gone=x", GPU], [f"{GPU}=0"]),
    ],
)
def test_granted_devices(
    registry: DeviceRegistry, allowed: list[str], wanted: list[str], lent: list[str]
) -> None:
    asked = [CDIDevice(name.lstrip("?"), name.startswith("?")) for name in wanted]
    assert [d.name for d in granted_devices(registry, read_grant(allowed), asked)] == lent


@pytest.mark.parametrize(
    ("allowed", "wanted", "kind", "said"),
    [
        ([], GPU, PermissionDenied, f"device {GPU}=0 is requested by the build but not allowed"),
        ([f"device={GPU}=0"], f"{GPU}=*", PermissionDenied, f"device {GPU}=1 is"),
        (["network.host"], f"{GPU}=*", PermissionDenied, f"devices {GPU}=0, {GPU}=1 are"),
        ([f"device={GPU}=1,alias=card"], f"{GPU}=1", PermissionDenied, "not allowed"),
        (["device"], "v.example/gone=x", NotFound, "is not registered"),
    ],
)
def test_refused_devices(
    registry: DeviceRegistry, allowed: list[str], wanted: str, kind: type[LaminaError], said: str
) -> None:
    with pytest.raises(kind, match=said.replace("*", "[*]")):
        granted_devices(registry, read_grant(allowed), [CDIDevice(wanted)])


@pytest.mark.parametrize(
    ("allowed", "wanted", "named"),
    [
        (["device"], [f"{GPU}=*", "?v.example/gone=x"], [f"{GPU}=*", "?v.example/gone=x"]),
        ([f"device={GPU}=*"], [GPU], [f"{GPU}=0"]),
        ([f"device={GPU}=*"], [f"?{GPU}=1", f"{GPU}=*"], [f"{GPU}=1", f"{GPU}=0"]),
        (
            [f"device={GPU}=1,alias=card"],
            ["v.example/free=f", "?card"],
            [f"?{GPU}=1", "v.example/free=f"],
        ),
        ([], ["?v.example/gone=x"], []),
    ],
)
def test_cache_keys_of_steps_with_devices(
    registry: DeviceRegistry, allowed: list[str], wanted: list[str], named: list[str]
) -> None:
    asked, own = (
        [CDIDevice(name.lstrip("?"), name.startswith("?")) for name in names]
        for names in (wanted, named)
    )
    assert named_devices(registry, read_grant(allowed), asked) == own


def test_grants() -> None:
    assert read_grant(["security.insecure"]) == DeviceGrant()
    assert read_grant(["device"]).everything
    for wrong in ("device=a,b", "device=a,name=b"):
        with pytest.raises(InvalidInput):
            read_grant([wrong])

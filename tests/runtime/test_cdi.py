"""CDI files: their content, their precedence, and invalid ones."""

from __future__ import annotations

import json
import tempfile
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.base.errors import InvalidInput
from lamina.runtime.cdi import DeviceRegistry, Hook, read_spec

if TYPE_CHECKING:
    from pathlib import Path

CLASS = "org.mobyproject.buildkit.device.class"
AUTO = "org.mobyproject.buildkit.device.autoallow"


def write(folder: Path, name: str, kind: str, *devices: str, **fields: Any) -> None:
    folder.mkdir(exist_ok=True)
    listed = [{"name": d, "containerEdits": {"env": [f"BY={folder.name}"]}} for d in devices]
    (folder / name).write_text(json.dumps({"kind": kind, "devices": listed, **fields}))


@pytest.fixture
def registry(tmp_path: Path) -> DeviceRegistry:
    write(tmp_path / "early", "a.json", "v.example/gpu", "1", "0", "2")
    write(tmp_path / "late", "a.json", "v.example/gpu", "2")
    write(
        tmp_path / "late", "b.yaml", "v.example/nic", "eth", annotations={CLASS: "net", AUTO: True}
    )
    write(tmp_path / "late", "c.yml", "v.example/twice", "x")
    write(tmp_path / "late", "d.json", "v.example/twice", "x", "y")
    (tmp_path / "late/e.yaml").write_text("kind: [")
    (tmp_path / "late/f.txt").write_text("not read")
    folders = [str(tmp_path / name) for name in ("early", "absent", "late")]
    return DeviceRegistry(folders, ["v.example/gpu=1"])


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("v.example/gpu", ["v.example/gpu=0"]),
        ("v.example/gpu=*", ["v.example/gpu=0", "v.example/gpu=1", "v.example/gpu=2"]),
        ("v.example/gpu=2", ["v.example/gpu=2"]),
        ("v.example/gpu=9", []),
        ("v.example/gp", []),
        ("v.example/twice=x", []),
        ("v.example/twice=*", ["v.example/twice=y"]),
        ("net", ["v.example/nic=eth"]),
        ("", []),
    ],
)
def test_names(registry: DeviceRegistry, wanted: str, found: list[str]) -> None:
    assert [device.name for device in registry.find(wanted)] == found


def test_later_folders_go_first_and_damage_is_passed_over(registry: DeviceRegistry) -> None:
    by = {device.name[-1]: device.edits[1].env for device in registry.find("v.example/gpu=*")}
    assert by == {"0": ("BY=early",), "1": ("BY=early",), "2": ("BY=late",)}
    first, second = sorted(registry.damage(), key=len, reverse=True)
    assert "e.yaml is not a CDI spec" in first + second
    assert "two files describe v.example/twice=x" in first + second


def test_devices_that_need_no_entitlement(registry: DeviceRegistry) -> None:
    free = [d.name for d in registry.devices().values() if registry.allows_all(d)]
    assert free == ["v.example/gpu=1", "v.example/nic=eth"]


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({}, "kind"),
        ([], "list"),
        ({"kind": "gpu", "devices": []}, "vendor/class"),
        ({"kind": "v/c"}, "devices"),
        ({"kind": "v/c", "devices": [{}]}, "name"),
        ({"kind": "v/c", "devices": [{"name": "../x"}]}, "name of a device"),
    ],
)
def test_invalid_device_specifications(tmp_path: Path, document: Any, said: str) -> None:
    (tmp_path / "x.json").write_text(json.dumps(document))
    with pytest.raises(InvalidInput, match=said):
        read_spec(str(tmp_path / "x.json"))


@pytest.mark.parametrize(
    "edits",
    [
        {"env": "A=1"},
        {"env": ["A"]},
        {"env": ["=1"]},
        {"deviceNodes": [{"path": "dev/x"}]},
        {"deviceNodes": [{"path": "/dev/x", "type": "z"}]},
        {"deviceNodes": [{"path": "/dev/x", "permissions": "rx"}]},
        {"deviceNodes": [{"path": "/dev/x", "uid": -1}]},
        {"mounts": [{"hostPath": "/x"}]},
        {"mounts": [{"hostPath": "/x", "containerPath": "x"}]},
        {"hooks": [{"hookName": "never", "path": "/x"}]},
        {"hooks": [{"hookName": "poststop", "path": "x"}]},
        {"additionalGids": ["root"]},
        {"netDevices": [{"name": "eth0"}]},
    ],
)
def test_edits_that_cannot_be_made(tmp_path: Path, edits: Any) -> None:
    body = {"kind": "v/c", "devices": [{"name": "d", "containerEdits": edits}]}
    (tmp_path / "x.json").write_text(json.dumps(body))
    with pytest.raises(InvalidInput, match="is not a CDI spec"):
        read_spec(str(tmp_path / "x.json"))


def test_hooks_and_owners(tmp_path: Path) -> None:
    edits = {
        "hooks": [{"hookName": "poststop", "path": "/h", "args": ["h"], "timeout": 3}],
        "deviceNodes": [{"path": "/dev/x", "uid": 0, "fileMode": 420}],
    }
    (tmp_path / "x.json").write_text(
        json.dumps({"kind": "v/c", "devices": [{"name": "d", "containerEdits": edits}]})
    )
    (device,) = read_spec(str(tmp_path / "x.json"))
    assert device.edits[1].hooks == (Hook("poststop", "/h", ("h",), (), 3),)
    (node,) = device.edits[1].nodes
    assert (node.uid, node.gid, node.mode, node.major) == (0, None, 0o644, None)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["kind", "devices", "name", "containerEdits", "env", "mounts", "hooks"]
            ),
            inner,
            max_size=4,
        )
    ),
)


@given(_JSON)
def test_any_document_is_read_or_refused(document: Any) -> None:
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(document, file)
        file.flush()
        with suppress(InvalidInput):
            read_spec(file.name)

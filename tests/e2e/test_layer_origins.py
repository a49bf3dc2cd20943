"""Layers that several images, layouts and caches share: any of them can provide a layer."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.real_registry import running_registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.commands import Lamina


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[str]:
    folder = tmp_path / "registry"
    folder.mkdir()
    with running_registry(folder) as host:
        yield host


@pytest.fixture
def layout(machine: Callable[[str], Lamina], context: Callable[..., Path], tmp_path: Path) -> Path:
    """A base image of two layers, made on another machine."""
    folder = tmp_path / "layout"
    base = context("RUN echo base > /base\n")
    machine("maker").build(base, "-o", f"type=oci,tar=false,dest={folder}", "-t", "base:1")
    return folder


def using(tmp_path: Path, base: str, name: str = "using") -> Path:
    folder = tmp_path / name
    folder.mkdir(exist_ok=True)
    (folder / "Dockerfile").write_text(f"FROM {base}\nRUN cp /base /copy\n")
    return folder


def copy(layout: Path, name: str) -> None:
    """Push a layout's image with a tool other than lamina."""
    subprocess.run(
        ["skopeo", "copy", "--dest-tls-verify=false", f"oci:{layout}", f"docker://{name}"],
        check=True,
        capture_output=True,
    )


def layers(name: str) -> list[str]:
    done = subprocess.run(
        ["skopeo", "inspect", "--tls-verify=false", f"docker://{name}"],
        check=True,
        capture_output=True,
    )
    found: list[str] = json.loads(done.stdout)["Layers"]
    return found


def test_an_image_on_a_layout_is_pushed_and_its_cache_exported(
    lamina: Lamina, layout: Path, registry: str, tmp_path: Path
) -> None:
    folder = using(tmp_path, "base")
    named = ("--build-context", f"base=oci-layout://{layout}")
    lamina.build(folder, *named, "-t", f"{registry}/app:1", "--push")
    assert len(layers(f"{registry}/app:1")) >= 2
    log = lamina.build(
        folder, *named, "--cache-to", f"type=registry,ref={registry}/cache:1,mode=max"
    )
    assert "writing cache image manifest" in log
    assert "not written" not in log
    lamina.build(folder, *named, "-t", f"{registry}/later:1")
    assert lamina("push", f"{registry}/later:1").code == 0


def test_layers_of_a_layout_can_be_fetched_from_a_registry_too(
    lamina: Lamina, layout: Path, registry: str, tmp_path: Path
) -> None:
    copy(layout, f"{registry}/base:1")
    lamina.build(using(tmp_path, "base"), "--build-context", f"base=oci-layout://{layout}")
    shutil.rmtree(layout)
    lamina.build(
        using(tmp_path, f"{registry}/base:1", "other"), "-t", f"{registry}/app:1", "--push"
    )
    assert layers(f"{registry}/app:1")[0] == layers(f"{registry}/base:1")[0]


def test_the_base_builds_if_its_first_repository_is_gone(
    lamina: Lamina, layout: Path, registry: str, tmp_path: Path
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    with running_registry(gone) as first:
        copy(layout, f"{first}/base:1")
        # The image is only resolved: its layers are known from that repository, but are not here.
        folder = tmp_path / "resolved"
        folder.mkdir()
        (folder / "Dockerfile").write_text(f"FROM {first}/base:1\nENV A=1\n")
        lamina.build(folder, "-t", "resolved")
    copy(layout, f"{registry}/base:1")
    log = lamina.build(using(tmp_path, f"{registry}/base:1"), "-o", str(tmp_path / "out"))
    assert f"pull {registry}/base:1" in log
    assert (tmp_path / "out/copy").read_text() == "base\n"


def test_the_base_builds_if_its_first_cache_is_gone(
    lamina: Lamina,
    machine: Callable[[str], Lamina],
    layout: Path,
    registry: str,
    tmp_path: Path,
) -> None:
    copy(layout, f"{registry}/base:1")
    cache = tmp_path / "cache"
    folder = using(tmp_path, f"{registry}/base:1")
    machine("elsewhere").build(folder, "--cache-to", f"type=local,dest={cache},mode=max")
    # Imported, but none of its files are needed.
    lamina.build(folder, "--cache-from", f"type=local,src={cache}", "-o", "type=cacheonly")
    shutil.rmtree(cache)
    (folder / "Dockerfile").write_text(f"FROM {registry}/base:1\nRUN cp /base /another\n")
    lamina.build(folder, "-o", str(tmp_path / "out"))
    assert (tmp_path / "out/another").read_text() == "base\n"


def test_another_origin_is_tried_when_the_one_just_resolved_lacks_a_layer(
    lamina: Lamina, layout: Path, registry: str, tmp_path: Path
) -> None:
    copy(layout, f"{registry}/base:1")
    folder = tmp_path / "resolved"
    folder.mkdir()
    (folder / "Dockerfile").write_text(f"FROM {registry}/base:1\nENV A=1\n")
    lamina.build(folder, "-t", "resolved")
    # A copy of the layout with the manifest but without layers.
    for digest in layers(f"{registry}/base:1"):
        (layout / "blobs/sha256" / digest.partition(":")[2]).unlink()
    log = lamina.build(
        using(tmp_path, "base"),
        *("--build-context", f"base=oci-layout://{layout}", "-o", str(tmp_path / "out")),
    )
    assert f"pull {registry}/base:1" in log
    assert (tmp_path / "out/copy").read_text() == "base\n"

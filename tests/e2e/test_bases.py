"""Base images: from a registry, offline, from a layout, and broken ones."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.commands import Lamina


@contextmanager
def running_registry(folder: Path, port: int) -> Iterator[str]:
    """A real registry on loopback, its files in `folder`."""
    folder.mkdir(exist_ok=True)
    config = folder / "config.yml"
    address = f"127.0.0.1:{port}"
    config.write_text(
        "version: 0.1\nlog: {level: error}\n"
        f"storage: {{filesystem: {{rootdirectory: {folder}/data}}}}\n"
        f"http: {{addr: '{address}'}}\n"
    )
    process = subprocess.Popen(
        ["docker-registry", "serve", str(config)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield address
    finally:
        process.terminate()
        process.wait()


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
        return number


@pytest.fixture
def layout(lamina: Lamina, context: Callable[..., Path], tmp_path: Path) -> Path:
    """An OCI layout of a base image with three layers, and one ONBUILD trigger's absence."""
    folder = context(
        "FROM base\nENV FROM_BASE=1\nCOPY one /one\nRUN echo two > /two\n", {"one": "1"}
    )
    target = tmp_path / "layout"
    lamina.build(folder, "-o", f"type=oci,dest={target},tar=false,name=base:1")
    return target


def push(layout: Path, image: str) -> None:
    command = ["skopeo", "copy", "-q", "--dest-tls-verify=false"]
    subprocess.run([*command, f"oci:{layout}", f"docker://{image}"], check=True)


def blobs_of(registry: Path) -> list[Path]:
    return sorted(registry.glob("data/docker/registry/v2/blobs/sha256/*/*/data"))


def other_store(lamina: Lamina, tmp_path: Path, name: str = "other") -> Lamina:
    return type(lamina)(tmp_path / name)


def write(folder: Path, dockerfile: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "Dockerfile").write_text(dockerfile)
    return folder


def test_a_base_is_pulled_and_serves_offline(
    lamina: Lamina, layout: Path, tmp_path: Path, port: int
) -> None:
    fresh = other_store(lamina, tmp_path)
    folder = write(tmp_path / "c", f"FROM 127.0.0.1:{port}/base:1\nRUN cat /one /two > /both\n")
    with running_registry(tmp_path / "registry", port) as address:
        push(layout, f"{address}/base:1")
        log = fresh.build(folder, "-t", "made")
        assert f"[internal] pull {address}/base:1" in log
        assert " done" in log
    log = fresh.build(folder, "-t", "made")
    assert "CACHED" in log
    assert fresh.build(folder, "--no-cache")
    failed = fresh("build", "--pull", str(folder))
    assert failed.code == 1
    assert "Dockerfile:1" in failed.err
    assert "Traceback" not in failed.err
    done = fresh("run", "made", "cat", "/both")
    assert done.out == "1two\n"


def test_pull_resolves_a_moved_tag(
    lamina: Lamina, layout: Path, context: Callable[..., Path], tmp_path: Path, port: int
) -> None:
    fresh = other_store(lamina, tmp_path)
    folder = write(tmp_path / "c", f"FROM 127.0.0.1:{port}/base:1\nRUN cat /one > /copy\n")
    with running_registry(tmp_path / "registry", port) as address:
        push(layout, f"{address}/base:1")
        fresh.build(folder, "-t", "made")
        newer = tmp_path / "newer"
        lamina.build(
            context("FROM base\nCOPY one /one\n", {"one": "new"}),
            *("-o", f"type=oci,dest={newer},tar=false"),
        )
        push(newer, f"{address}/base:1")
        fresh.build(folder, "-t", "made")
        assert fresh("run", "made", "cat", "/copy").out == "1"
        fresh.build(folder, "--pull", "-t", "made")
        assert fresh("run", "made", "cat", "/copy").out == "new"


def test_damaged_layers_are_refused_and_a_good_one_is_taken_later(
    lamina: Lamina, layout: Path, tmp_path: Path, port: int
) -> None:
    fresh = other_store(lamina, tmp_path)
    folder = write(tmp_path / "c", f"FROM 127.0.0.1:{port}/base:1\nRUN true\n")
    with running_registry(tmp_path / "registry", port) as address:
        push(layout, f"{address}/base:1")
        largest = max(blobs_of(tmp_path / "registry"), key=lambda path: path.stat().st_size)
        good = largest.read_bytes()
        for damaged in (good[: len(good) // 2], good[:-1] + bytes([good[-1] ^ 1])):
            largest.write_bytes(damaged)
            failed = fresh("build", "--progress=plain", str(folder))
            assert failed.code == 1, failed.err
            assert "sha256:" in failed.err
            assert "Traceback" not in failed.err
        largest.write_bytes(good)
        fresh.build(folder)


def test_an_unreachable_registry_and_an_unknown_image(
    lamina: Lamina, layout: Path, tmp_path: Path, port: int
) -> None:
    folder = write(tmp_path / "c", f"FROM 127.0.0.1:{port}/base:1\nRUN true\n")
    failed = lamina("build", str(folder))
    assert failed.code == 1
    assert f"127.0.0.1:{port}" in failed.err
    assert ">>> FROM" in failed.err
    with running_registry(tmp_path / "registry", port) as address:
        push(layout, f"{address}/base:1")
        folder = write(tmp_path / "c", f"FROM 127.0.0.1:{port}/base:nope\nRUN true\n")
        failed = lamina("build", str(folder))
        assert failed.code == 1
        assert "does not exist" in failed.err
        assert "Traceback" not in failed.err


def test_a_mirror_serves_for_its_host(
    lamina: Lamina, layout: Path, tmp_path: Path, port: int
) -> None:
    config = tmp_path / "lamina.toml"
    config.write_text(
        f'[registry."docker.io"]\nmirrors = ["127.0.0.1:{port}"]\n'
        f'[registry."127.0.0.1:{port}"]\nhttp = true\n'
    )
    folder = write(tmp_path / "c", "FROM base:1\nRUN cat /two\n")
    with running_registry(tmp_path / "registry", port) as address:
        push(layout, f"{address}/library/base:1")
        fresh = other_store(lamina, tmp_path)
        log = fresh.build(folder, env={"LAMINA_CONFIG": str(config)})
        assert "[internal] pull docker.io/library/base:1" in log


def test_a_base_in_a_layout_and_named_contexts(
    lamina: Lamina, layout: Path, tmp_path: Path
) -> None:
    fresh = other_store(lamina, tmp_path)
    extra = write(tmp_path / "extra", "")
    (extra / "file").write_text("from extra")
    folder = write(
        tmp_path / "c",
        "FROM base AS b\nCOPY --from=extra file /file\nRUN cat /file /one > /out\n",
    )
    fresh.build(
        folder,
        *("--build-context", f"base=oci-layout://{layout}"),
        *("--build-context", f"extra={extra}"),
        *("-t", "made"),
    )
    assert fresh("run", "made", "cat", "/out").out == "from extra1"
    document = json.loads(fresh("inspect", "made").out)
    document = document[0] if isinstance(document, list) else document
    assert "FROM_BASE=1" in document["config"]["config"]["Env"]
    folder = write(tmp_path / "d", "FROM anything\nRUN cat /out\n")
    fresh.build(folder, "--build-context", "anything=docker-image://made")


def test_zstd_layers_of_a_base(
    lamina: Lamina, context: Callable[..., Path], tmp_path: Path, port: int
) -> None:
    target = tmp_path / "zstd"
    folder = context("FROM base\nRUN echo z > /z\n")
    lamina.build(
        folder,
        *("-o", f"type=oci,dest={target},tar=false,compression=zstd,force-compression=true"),
    )
    index = json.loads((target / "index.json").read_bytes())
    digest = index["manifests"][0]["digest"].removeprefix("sha256:")
    manifest = json.loads((target / "blobs/sha256" / digest).read_bytes())
    assert all(layer["mediaType"].endswith("+zstd") for layer in manifest["layers"])
    fresh = other_store(lamina, tmp_path)
    with running_registry(tmp_path / "registry", port) as address:
        push(target, f"{address}/z:1")
        folder = write(tmp_path / "c", f"FROM {address}/z:1\nRUN cat /z > /zz\n")
        fresh.build(folder, "-t", "made")
        assert fresh("run", "made", "cat", "/zz").out == "z\n"

"""Cache mounts in cache imports and exports."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.real_registry import RealRegistry, running_registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.commands import Lamina

# Like a compiler's cache: a step is slow unless its cache contains the input.
COMPILE = """COPY input /input
RUN --mount=type=cache,target=/cache,id=objects \\
    if [ -e /cache/made ]; then echo "cache: warm"; else echo "cache: cold"; fi; \\
    cat /input >> /cache/made; mkdir -p /cache/d; ln -sf ../made /cache/d/link; \\
    chown 12:34 /cache/made; chmod 4751 /cache/made; touch -d @1600000000 /cache/made /cache/d
"""


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_registry(tmp_path_factory.mktemp("registry")) as host:
        yield host


def mount_folder(lamina: Lamina) -> Path:
    (folder,) = (p for p in (lamina.root / "mounts").iterdir() if p.is_dir())
    return folder


def listing(folder: Path) -> dict[str, tuple[object, ...]]:
    found: dict[str, tuple[object, ...]] = {}
    for base, folders, files in os.walk(folder):
        for name in (".", *folders, *files):
            path = os.path.join(base, name)
            status = os.lstat(path)
            link = os.readlink(path) if os.path.islink(path) else ""
            data = b""
            if os.path.isfile(path) and not link:
                with open(path, "rb") as file:
                    data = file.read()
            found[os.path.relpath(path, folder)] = (
                *(status.st_mode, status.st_uid, status.st_gid, status.st_mtime_ns),
                *(link, data),
            )
    return found


@pytest.mark.parametrize("kind", ["registry", "local"])
@pytest.mark.parametrize("mounts", ["true", "objects", "other;objects"])
def test_a_mount_is_there_on_another_machine(
    kind: str,
    mounts: str,
    registry: str,
    machine: Callable[[str], Lamina],
    context: Callable[..., Path],
    tmp_path: Path,
) -> None:
    place = f"type=registry,ref={registry}/mounts/{len(mounts)}"
    to = place if kind == "registry" else f"type=local,dest={tmp_path}/cache"
    source = place if kind == "registry" else f"type=local,src={tmp_path}/cache"
    folder = context(COMPILE, {"input": "one"})
    a, b = machine("a"), machine("b")
    log = a.build(folder, "--cache-to", f"{to},mounts={mounts}")
    assert "cache: cold" in log
    assert "exporting cache mount objects" in log
    log = b.build(folder, "--cache-from", f"{source},mounts={mounts}")
    assert "importing cache mount" not in log  # no step needed it
    (folder / "input").write_text("two")
    log = b.build(folder, "--cache-from", f"{source},mounts={mounts}")
    assert "importing cache mount objects" in log
    assert "cache: warm" in log
    made = listing(mount_folder(b))
    assert made["made"][-1] == b"onetwo"
    third = machine("c")
    (folder / "input").write_text("")
    third.build(folder, "--cache-from", f"{source},mounts={mounts}")
    same, there = listing(mount_folder(a)), listing(mount_folder(third))
    for name in ("made", "d"):
        assert same[name] == there[name]
    assert same["d/link"][-2] == there["d/link"][-2] == "../made"
    assert same["made"][0] == 0o104751


def test_without_the_option_no_mounts_are_exported(
    registry: str, machine: Callable[[str], Lamina], context: Callable[..., Path]
) -> None:
    folder = context(COMPILE, {"input": "one"})
    place = f"type=registry,ref={registry}/nomounts/cache"
    assert "cache mount" not in machine("a").build(folder, "--cache-to", place)
    machine("a").build(folder, "--cache-to", f"{place},mounts=true")
    (folder / "input").write_text("two")
    assert "cache: cold" in machine("b").build(folder, "--cache-from", place)
    (folder / "input").write_text("three")
    other = machine("c").build(folder, "--cache-from", f"{place},mounts=other")
    assert "cache: cold" in other


def test_two_exporters_at_once_both_survive(
    registry: str, machine: Callable[[str], Lamina], context: Callable[..., Path], tmp_path: Path
) -> None:
    place = f"type=registry,ref={registry}/both/cache,mounts=true"
    text = (
        "ARG WHO\nRUN --mount=type=cache,target=/cache,id=shared"
        " echo $WHO > /cache/$WHO; head -c 3000000 /dev/urandom > /cache/$WHO-large\n"
    )
    folder = context(text)
    runs = [
        subprocess.Popen(
            [
                *[sys.executable, "-m", "lamina", "--root", str(machine(who).root), "build"],
                *["--progress=plain", "--build-arg", f"WHO={who}", "--cache-to", place],
                str(folder),
            ],
            stderr=subprocess.PIPE,
        )
        for who in ("ann", "bob")
    ]
    for run in runs:
        _, errors = run.communicate(timeout=100)
        assert run.returncode == 0, errors.decode()
    third = machine("third")
    third.build(folder, "--build-arg", "WHO=eve", "--cache-from", place)
    names = set(os.listdir(mount_folder(third)))
    assert {"ann", "ann-large", "bob", "bob-large", "eve"} <= names


def test_a_second_export_sends_only_new_content(
    registry: str, machine: Callable[[str], Lamina], context: Callable[..., Path]
) -> None:
    place = f"type=registry,ref={registry}/small/cache,mounts=true"
    text = (
        "COPY input /input\nRUN --mount=type=cache,target=/cache"
        " if [ ! -e /cache/large ]; then head -c 20000000 /dev/urandom > /cache/large; fi;"
        " { head -c 5000000 /cache/large; cat /input; tail -c +5000001 /cache/large; } > /tmp-l;"
        " cp /tmp-l /cache/large; rm /tmp-l\n"
    )
    folder = context(text, {"input": "one"})
    here = machine("a")

    def new(log: str) -> str:
        return next(line for line in log.splitlines() if "new packs" in line)

    assert "20." in new(here.build(folder, "--cache-to", place))
    (folder / "input").write_text("and something in the middle")
    line = new(here.build(folder, "--cache-to", place))
    assert "kB" in line or float(line.split("new packs ")[1].split("MB")[0]) < 4


def test_a_broken_cache_is_a_warning(
    machine: Callable[[str], Lamina], context: Callable[..., Path], tmp_path: Path
) -> None:
    registry = RealRegistry(tmp_path / "mortal")
    registry.start()
    try:
        place = f"type=registry,ref={registry.host}/broken/cache,mounts=true"
        folder = context(COMPILE, {"input": "one"})
        machine("a").build(folder, "--cache-to", place)
        blobs = tmp_path / "mortal/data/docker/registry/v2/blobs"
        for path in blobs.rglob("data"):
            if path.read_bytes()[:4] == b"\x28\xb5\x2f\xfd" and b"schema" not in path.read_bytes():
                path.write_bytes(b"not what it was")
        (folder / "input").write_text("two")
        log = machine("b").build(folder, "--cache-from", place)
        assert "cache: cold" in log
        assert "was not imported" in log
        registry.kill()
        (folder / "input").write_text("three")
        log = machine("a").build(folder, "--cache-to", place)
        assert "was not sent" in log
        assert "cache: warm" in log
    finally:
        registry.kill()

"""Cache import and export: a registry, a directory, an image, and a machine with an empty store."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.real_registry import RealRegistry, running_registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.commands import Lamina

STAGES = """FROM base AS build
COPY input /input
RUN mkdir /out && cat /input > /seen && echo the same > /out/file
FROM base
COPY --from=build /out /out
RUN cat /out/file > /last
"""


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_registry(tmp_path_factory.mktemp("registry")) as host:
        yield host


def states(log: str) -> dict[str, str]:
    names: dict[str, str] = {}
    found: dict[str, str] = {}
    for line in log.splitlines():
        number, _, rest = line.partition(" ")
        if rest.startswith("[") and not rest.startswith("[internal"):
            names[number] = rest.partition("] ")[2]
        elif rest.split(" ")[0] in ("DONE", "CACHED", "ERROR") and number in names:
            found[names[number]] = rest.split(" ")[0]
    return found


def cached(log: str) -> set[str]:
    return {name for name, state in states(log).items() if state == "CACHED"}


@pytest.mark.parametrize("kind", ["registry", "index", "docker", "local", "zstd"])
def test_every_step_is_found_on_another_machine(
    kind: str,
    registry: str,
    machine: Callable[[str], Lamina],
    context: Callable[..., Path],
    tmp_path: Path,
) -> None:
    place = f"type=registry,ref={registry}/{kind}/cache"
    to = {
        "registry": f"{place},mode=max",
        "index": f"{place},mode=max,image-manifest=false",
        "docker": f"{place},mode=max,oci-mediatypes=false",
        "local": f"type=local,dest={tmp_path}/cache,mode=max",
        "zstd": f"{place},mode=max,compression=zstd,force-compression=true",
    }[kind]
    source = f"type=local,src={tmp_path}/cache" if kind == "local" else place
    folder = context(STAGES, {"input": "one"})
    first = machine("a").build(folder, "--cache-to", to)
    assert "exporting cache to" in first
    second = machine("b").build(folder, "--cache-from", source)
    assert f"importing cache manifest from {tmp_path if kind == 'local' else registry}" in second
    assert set(states(second).values()) == {"CACHED"}
    # Nothing ran on top of it. But a directory may be removed later, so its blobs are copied.
    assert ("[internal] pull" in second) == (kind == "local")
    (folder / "input").write_text("two")
    third = machine("c").build(folder, "--cache-from", source)
    # The changed stage is built again with the same output, so the other steps are found by
    # content.
    assert states(third)["COPY input /input"] == "DONE"
    assert {"COPY --from=build /out /out", "RUN cat /out/file > /last"} <= cached(third)


def test_mode_min_exports_only_layers_of_the_image(
    registry: str, machine: Callable[[str], Lamina], context: Callable[..., Path]
) -> None:
    folder = context(STAGES, {"input": "one"})
    place = f"type=registry,ref={registry}/min/cache"
    machine("a").build(folder, "--cache-to", place)
    log = machine("b").build(folder, "--cache-from", place)
    assert set(states(log).values()) == {"CACHED"}
    (folder / "input").write_text("two")
    log = machine("c").build(folder, "--cache-from", place)
    assert "RUN cat /out/file > /last" in cached(log)
    raw = subprocess.run(
        ["skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{registry}/min/cache"],
        check=True,
        capture_output=True,
    )
    assert len(json.loads(raw.stdout)["layers"]) == 4  # none of the build stage's own


def test_an_image_carries_its_cache(
    registry: str, machine: Callable[[str], Lamina], context: Callable[..., Path]
) -> None:
    folder = context("COPY input /input\nRUN cat /input > /seen\n", {"input": "one"})
    name = f"{registry}/inline/app"
    machine("a").build(folder, "--push", "-t", name, "--cache-to", "type=inline")
    log = machine("b").build(folder, "--cache-from", name)
    assert set(states(log).values()) == {"CACHED"}
    machine("b").build(folder, "--push", "-t", f"{name}:plain")
    log = machine("c").build(folder, "--cache-from", f"{name}:plain")
    assert "contains no cache" in log
    assert not cached(log)


def test_a_stage_missing_from_a_cache_is_not_built_if_its_copies_are_cached(
    registry: str, machine: Callable[[str], Lamina], context: Callable[..., Path]
) -> None:
    folder = context(
        "FROM --platform=$BUILDPLATFORM base AS build\n"
        "ARG TARGETARCH\n"
        "RUN echo $TARGETARCH > /arch && cat /proc/sys/kernel/random/uuid > /unique\n"
        "FROM scratch\n"
        "COPY --from=build unique /\n"
        "COPY --from=build arch /\n"
    )
    name = f"{registry}/inline/stages"
    options = ["--platform=linux/amd64,linux/arm64", "--push", "--cache-to=type=inline"]
    machine("a").build(folder, "-t", name, *options)
    log = machine("b").build(folder, "-t", f"{name}:again", "--cache-from", name, *options)
    assert set(states(log).values()) == {"CACHED"}
    assert "RUN" not in log
    first, again = (
        subprocess.run(
            ["skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{reference}"],
            check=True,
            capture_output=True,
        ).stdout
        for reference in (name, f"{name}:again")
    )
    assert first == again  # with the cache that the images contain for the next build


def test_a_cache_that_was_imported_is_exported_again(
    registry: str, machine: Callable[[str], Lamina], context: Callable[..., Path]
) -> None:
    folder = context(STAGES, {"input": "one"})
    old, new = (f"type=registry,ref={registry}/again/{name}" for name in ("old", "new"))
    machine("a").build(folder, "--cache-to", f"{old},mode=max")
    machine("b").build(folder, "--cache-from", old, "--cache-to", f"{new},mode=max")
    log = machine("c").build(folder, "--cache-from", new)
    assert set(states(log).values()) == {"CACHED"}
    (folder / "input").write_text("two")
    log = machine("d").build(folder, "--cache-from", new)
    assert "RUN cat /out/file > /last" in cached(log)


def test_results_are_used_whole(
    registry: str, machine: Callable[[str], Lamina], context: Callable[..., Path], tmp_path: Path
) -> None:
    folder = context(STAGES, {"input": "one"})
    place = f"type=registry,ref={registry}/whole/cache"
    machine("a").build(folder, "--cache-to", place, "-o", str(tmp_path / "a-out"))
    machine("b").build(folder, "--cache-from", place, "-o", str(tmp_path / "b-out"))
    assert (tmp_path / "b-out" / "last").read_text() == "the same\n"
    machine("c").build(folder, "--cache-from", place, "-t", "app")
    assert machine("c")("run", "app", "cat", "/last").out == "the same\n"


def test_caches_that_are_not_there_are_warnings(
    registry: str, machine: Callable[[str], Lamina], context: Callable[..., Path], tmp_path: Path
) -> None:
    folder = context("RUN echo hi\n")
    (tmp_path / "file").write_text("")
    log = machine("a").build(
        folder,
        *["--cache-from", f"type=registry,ref={registry}/none/cache"],
        *["--cache-from", f"type=local,src={tmp_path}/none"],
        *["--cache-to", "type=registry,ref=127.0.0.1:9/nobody/cache"],
        *["--cache-to", f"type=local,dest={tmp_path}/file/x"],
    )
    assert "4 warnings found" in log
    strict = machine("a")(
        *["build", str(folder), "--cache-to"],
        "type=registry,ref=127.0.0.1:9/nobody/cache,ignore-error=false",
    )
    assert strict.code == 1


def test_layers_that_vanished_are_made_again(
    machine: Callable[[str], Lamina], context: Callable[..., Path], tmp_path: Path
) -> None:
    registry = RealRegistry(tmp_path / "mortal")
    registry.start()
    try:
        folder = context(STAGES, {"input": "one"})
        place = f"type=registry,ref={registry.host}/gone/cache"
        machine("a").build(folder, "--cache-to", f"{place},mode=max")
        machine("b").build(folder, "--cache-from", place)
        registry.kill()
        (folder / "input").write_text("two")
        log = machine("b").build(folder, "--cache-from", place)
        assert states(log)["RUN cat /out/file > /last"] in ("DONE", "CACHED")
    finally:
        registry.kill()


def test_a_folder_that_is_gone_when_it_is_needed(
    machine: Callable[[str], Lamina], context: Callable[..., Path], tmp_path: Path
) -> None:
    folder = context(STAGES, {"input": "one"})
    machine("a").build(folder, "--cache-to", f"type=local,dest={tmp_path}/cache,mode=max")
    machine("b").build(folder, "--cache-from", f"type=local,src={tmp_path}/cache")
    shutil.rmtree(tmp_path / "cache")
    (folder / "Dockerfile").write_text((folder / "Dockerfile").read_text() + "RUN cat /last\n")
    log = machine("b").build(folder)
    assert states(log)["RUN cat /last"] == "DONE"


def test_a_folder_is_reset(
    machine: Callable[[str], Lamina], context: Callable[..., Path], tmp_path: Path
) -> None:
    folder = context("COPY input /input\n", {"input": "one"})
    to = f"type=local,dest={tmp_path}/cache,mode=max"
    machine("a").build(folder, "--cache-to", to)
    before = len(list((tmp_path / "cache/blobs/sha256").iterdir()))
    (folder / "input").write_text("two")
    machine("a").build(folder, "--cache-to", to)
    assert len(list((tmp_path / "cache/blobs/sha256").iterdir())) > before
    machine("a").build(folder, "--cache-to", f"{to},reset=true")
    assert len(list((tmp_path / "cache/blobs/sha256").iterdir())) == before

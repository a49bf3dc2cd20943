"""`--cache-to` with `ignore-error`: the written cache is complete, or a warning is printed."""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.commands import Lamina

STAGES = """FROM base AS build
RUN echo 1 > /out
FROM base
RUN --mount=from=build,target=/build cat /build/out > /last
"""


def steps(log: str) -> int:
    return sum(log.count(f"] {word} ") for word in ("RUN", "COPY"))


def test_a_result_that_is_gone_is_not_left_out_silently(
    builder: Lamina, machine: Callable[[str], Lamina], context: Callable[..., Path], tmp_path: Path
) -> None:
    folder = context(STAGES)
    first, second = tmp_path / "first", tmp_path / "second"
    machine("other").build(
        folder, "-o", "type=cacheonly", f"--cache-to=type=local,dest={first},mode=max"
    )
    builder.build(folder, "-o", "type=cacheonly", f"--cache-from=type=local,src={first}")
    shutil.rmtree(first)
    to = f"--cache-to=type=local,dest={second},mode=max"
    must = f"{to},ignore-error=false"
    done = builder("build", "--progress=plain", "-o", "type=cacheonly", must, str(folder))
    assert done.code == 1
    assert "no longer available at their origin" in done.err
    assert not (second / "index.json").exists()
    log = builder.build(folder, "-o", "type=cacheonly", to)
    assert "the cache was exported without 1 result" in log
    builder.build(folder, "-o", "type=cacheonly", "--no-cache", must)
    log = machine("third").build(folder, f"--cache-from=type=local,src={second}")
    assert log.count("CACHED") == steps(log) == 4


def test_a_folder_that_cannot_be_written(
    builder: Lamina, context: Callable[..., Path], tmp_path: Path
) -> None:
    folder = context("FROM scratch\nCOPY Dockerfile /\n")
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache/blobs").write_text("in the way")
    to = f"--cache-to=type=local,dest={tmp_path}/cache"
    output = f"-o=type=tar,dest={tmp_path}/out.tar"
    done = builder("build", "--progress=plain", output, to, str(folder))
    assert done.code == 0
    assert "the cache was not written" in done.err
    assert os.path.exists(tmp_path / "out.tar")
    done = builder("build", "--progress=plain", output, f"{to},ignore-error=false", str(folder))
    assert done.code == 1
    assert "ERROR" in done.err


def test_each_cache_directory_gets_its_own_export(
    builder: Lamina, machine: Callable[[str], Lamina], context: Callable[..., Path], tmp_path: Path
) -> None:
    folder = context(STAGES)
    places = {"max": tmp_path / "max", "min": tmp_path / "min"}
    exports = [f"--cache-to=type=local,dest={p},mode={mode}" for mode, p in places.items()]
    builder.build(folder, "-o", "type=cacheonly", *exports)
    found = {}
    for mode, place in places.items():
        (entry,) = json.loads((place / "index.json").read_text())["manifests"]
        found[mode] = entry["digest"]
        machine(mode).build(folder, f"--cache-from=type=local,src={place}")
        assert len(
            json.loads((place / "blobs/sha256" / found[mode][7:]).read_text())["layers"]
        ) == (4 if mode == "max" else 3)
    assert found["max"] != found["min"]

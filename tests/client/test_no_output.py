"""Builds without outputs, which only fill the cache."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.commands import Lamina

EVERYTHING = (
    *("-t", "app:1", "--annotation=a=b", "--provenance=mode=max"),
    *("--platform=linux/amd64,linux/arm64", "--cache-to=type=inline"),
)


@pytest.mark.parametrize("options", [(), EVERYTHING], ids=["alone", "with the rest"])
def test_only_the_cache_is_made(
    builder: Lamina, context: Callable[..., Path], tmp_path: Path, options: tuple[str, ...]
) -> None:
    folder = context("FROM scratch\nARG TARGETARCH\nCOPY file /\n", {"file": "1"})
    files = (f"--iidfile={tmp_path}/id", f"--metadata-file={tmp_path}/metadata")
    wanted = ("-o", "type=cacheonly", *options, *files)
    log = builder.build(folder, *wanted, env={"SOURCE_DATE_EPOCH": "1700000000"})
    assert "COPY file /" in log
    assert "CACHED" not in log
    assert (tmp_path / "id").read_text() == ""
    assert "containerimage.digest" not in (tmp_path / "metadata").read_text()
    again = builder.build(folder, *wanted, "--build-arg=SOURCE_DATE_EPOCH=1600000000")
    assert "CACHED" in again


def test_only_a_cache_elsewhere_is_made(
    builder: Lamina, machine: Callable[[str], Lamina], context: Callable[..., Path], tmp_path: Path
) -> None:
    folder = context("RUN echo made > /made\n")
    cache = tmp_path / "cache"
    epoch = {"SOURCE_DATE_EPOCH": "1"}
    to = f"--cache-to=type=local,dest={cache},mode=max"
    builder.build(folder, "-o", "type=cacheonly", to, env=epoch)
    used = machine("another").build(folder, f"--cache-from=type=local,src={cache}", env=epoch)
    assert "CACHED" in used

"""In this store, a step's cache key contains the IDs of its cache mounts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.commands import Lamina

STEPS = """FROM base
RUN --mount=type=cache,target=/c,id={id} ["/bin/sh", "-c", "echo {id} was here > /c/list"]
RUN --mount=type=cache,target=/c,id={id} ["/bin/sh", "-c", "cat /c/list > /made"]
"""


def _made(lamina: Lamina, context: Callable[..., Path], name: str, out: Path, *args: str) -> str:
    folder = context(STEPS.replace("{id} was", "somebody was").format(id=name))
    lamina.build(folder, "--builder=", "-o", str(out), *args)
    return (out / "made").read_text()


def test_steps_that_differ_in_the_id_of_their_cache_mount(
    lamina: Lamina, context: Callable[..., Path], tmp_path: Path
) -> None:
    for name in ("one", "two", "/c"):
        assert _made(lamina, context, name, tmp_path / "out") == "somebody was here\n"
        log = lamina.build(tmp_path / "context", "--builder=")
        assert log.count("CACHED") == 4  # both steps, and those of the base
    # Each ran once for each id: the mounts of the three are there.
    mounts = lamina("cache", "ls", "--format=names").out.split()
    assert all(name in mounts for name in ("one", "two", "c")), mounts


def test_exported_keys_are_buildkit_s(
    machine: Callable[[str], Lamina], context: Callable[..., Path], tmp_path: Path
) -> None:
    """BuildKit's keys do not contain the ID."""
    exported = []
    for name in ("one", "two"):
        cache = tmp_path / f"cache-{name}"
        to = f"type=local,dest={cache},mode=max"
        _made(machine(name), context, name, tmp_path / "out", "--cache-to", to)
        exported.append(_records(cache))
    assert exported[0] == exported[1]


def _records(cache: Path) -> list[Any]:
    def blob(digest: str) -> Any:
        return json.loads((cache / "blobs" / digest.replace(":", "/")).read_bytes())

    index = json.loads((cache / "index.json").read_bytes())
    manifest = blob(index["manifests"][0]["digest"])
    config = manifest.get("config", {}).get("digest") or next(
        item["digest"] for item in manifest["manifests"] if "cacheconfig" in item["mediaType"]
    )
    records = blob(config)["records"]
    return sorted((record["digest"], record.get("inputs")) for record in records)

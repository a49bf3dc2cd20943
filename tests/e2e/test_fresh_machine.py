"""The scenario of docs/ci.md: a Go service is built on one machine, edited, and built on an empty
one."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.real_registry import running_registry

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.commands import Lamina

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def go_base() -> Path:
    """The context of the Go image: created once, kept between runs."""
    folder = Path(os.environ.get("LAMINA_DEMO") or "/var/tmp/lamina-demo") / "base"
    done = subprocess.run(
        [ROOT / "scripts/go-base", folder],
        env={**os.environ, "LAMINA_PYTHON": sys.executable},
        capture_output=True,
    )
    if done.returncode:
        pytest.skip(f"Go cannot be had here: {done.stderr.decode()[-300:]}")
    return folder


def compiled(log: str) -> set[str]:
    """The packages that `go build -v` compiled and printed."""
    (number,) = re.findall(r"^#(\d+) \[\S* ?\d+/\d+\] RUN .*go build", log, re.MULTILINE)[:1]
    lines = re.findall(rf"^#{number} [0-9.]+ ([\w./-]+)$", log, re.MULTILINE)
    return set(lines)


def checkout(place: Path, said: str) -> Path:
    """The checkout of the service on one machine, with an edit."""
    shutil.copytree(ROOT / "examples/go-web", place, copy_function=shutil.copy)
    source = place / "foo/foo.go"
    source.write_text(source.read_text().replace("hello from foo", f"hello from foo, {said}"))
    return place


def test_an_empty_machine_compiles_only_edited_files(
    go_base: Path, machine: Callable[[str], Lamina], tmp_path: Path
) -> None:
    with running_registry(tmp_path / "registry") as host:
        base, name = f"{host}/go-base:1", f"{host}/go-web"
        builder, a, b, c = map(machine, ("builder", "a", "b", "c"))
        builder.build(
            go_base, "--push", "-t", base, "-f", str(ROOT / "examples/go-base/Dockerfile")
        )
        cache = f"type=registry,ref={name}:cache"
        common = [f"--build-context=go-base=docker-image://{base}", "--push"]

        def build(where: Lamina, folder: Path, tag: str, *caches: str) -> str:
            words = ["-f", str(folder / "Dockerfile.cache"), "-t", f"{name}:{tag}", *common]
            return where.build(folder, *words, *caches)

        first = checkout(tmp_path / "on a", "first")
        to = f"--cache-to={cache},mode=max,mounts=true"
        cold = compiled(build(a, first, "a", to))
        assert len(cold) > 50

        # The example of the Python API uses the same cache mount: nothing is compiled again.
        done = subprocess.run(
            [sys.executable, ROOT / "examples/python/go_service.py", first],
            env={**os.environ, "LAMINA_ROOT": str(a.root), "BASE": base},
            capture_output=True,
            text=True,
        )
        assert done.stdout.startswith("sha256:"), done.stderr
        assert " go-web/foo" not in done.stderr

        edited = checkout(tmp_path / "elsewhere" / "on b", "second")
        log = build(b, edited, "b", f"--cache-from={cache},mounts=true", to)
        assert "importing cache mount root/.cache/go-build" in log
        assert {name.rpartition("/")[2] for name in compiled(log)} == {"go-web", "foo"}

        # Results alone only help until the first edit.
        log = build(c, checkout(tmp_path / "on c", "third"), "c", f"--cache-from={cache}")
        assert compiled(log) == cold
        # The next empty machine finds the export of B.
        d = machine("d")
        again = checkout(tmp_path / "on d", "second")
        log = build(d, again, "d", f"--cache-from={cache},mounts=true")
        assert not re.search(r"^#\d+ [0-9.]+ go-web", log, re.MULTILINE)
        assert re.search(r"RUN .*go build.*\n#\d+ CACHED", log)
        assert "importing cache mount" not in log
        assert "[internal] pull" not in log  # no step runs, so not even the base is fetched

"""`go build` of the service in examples/go-web after an edit of one line, on a machine that has
built before, and on an empty one. The scenario of docs/ci.md."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

from benchmarks.harness import Lamina, Row, Run, registry, step_seconds

_ROOT = Path(__file__).parents[1]
_RUNS = 3


def measure(work: Path) -> list[Row]:
    """The seconds of the `go build` step only; the rest of a build is equal for all."""
    base = Path(os.environ.get("LAMINA_DEMO") or "/var/tmp/lamina-demo") / "base"
    environment = {**os.environ, "LAMINA_PYTHON": sys.executable}
    subprocess.run([_ROOT / "scripts/go-base", base], check=True, env=environment)
    seconds: dict[str, list[float]] = {"cold": [], "warm": [], "layers": [], "mounts": []}
    resident: dict[str, float] = dict.fromkeys(seconds, 0.0)
    with registry(work) as address:
        image = f"{address}/go-base:1"
        dockerfile = str(_ROOT / "examples/go-base/Dockerfile")
        Lamina(work / "builder").build(base, "--push", "-t", image, "-f", dockerfile)
        for number in range(_RUNS):
            cache = f"type=registry,ref={address}/app:cache{number},mounts=true"

            def build(kind: str, machine: str, *caches: str, number: int = number) -> None:
                app = _checkout(work / "app", f"{kind}{number}")
                run: Run = Lamina(work / machine).build(
                    app,
                    *["-f", str(app / "Dockerfile.cache"), "-t", f"{address}/app:{kind}"],
                    f"--build-context=go-base=docker-image://{image}",
                    *caches,
                )
                seconds[kind].append(step_seconds(run, "go build"))
                resident[kind] = max(resident[kind], run.resident)

            build("cold", "a", f"--cache-to={cache},mode=max")
            build("warm", "a")
            build("layers", "b", f"--cache-from={cache.removesuffix(',mounts=true')}")
            build("mounts", "c", f"--cache-from={cache}")
            for machine in "abc":
                shutil.rmtree(work / machine)
    warm = statistics.median(seconds["warm"])
    limits = {"cold": 60.0, "warm": 60.0, "layers": 60.0, "mounts": 2 * warm}
    names = {
        "cold": "go build, first time",
        "warm": "go build after an edit, same machine",
        "layers": "go build after an edit, empty machine, results alone",
        "mounts": "go build after an edit, empty machine, with cache mounts (2 × the warm one)",
    }
    return [
        Row(names[kind], statistics.median(found), limits[kind], tuple(found), resident[kind])
        for kind, found in seconds.items()
    ]


def _checkout(app: Path, said: str) -> Path:
    shutil.rmtree(app, ignore_errors=True)
    shutil.copytree(_ROOT / "examples/go-web", app, copy_function=shutil.copy)
    source = app / "foo/foo.go"
    source.write_text(source.read_text().replace("hello from foo", f"hello from foo, {said}"))
    return app

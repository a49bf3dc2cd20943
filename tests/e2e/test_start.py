"""The imports of a fully cached build: each module costs time in every build."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.commands import RemoteLamina
from tests.daemon_process import DaemonProcess

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.commands import Lamina

DOCKERFILE = """FROM base AS build
ENV NAME=value
WORKDIR /src
COPY --chmod=644 file .
RUN --mount=type=cache,target=/cache cat file > made
FROM base
COPY --from=build /src/made /made
CMD ["/bin/sh"]
"""

UNUSED = frozenset(
    {
        *("argparse", "asyncio", "bz2", "dataclasses", "http.client", "inspect", "logging"),
        *("lzma", "pathlib", "random", "shutil", "ssl", "subprocess", "tarfile", "tempfile"),
        *("unittest", "urllib.parse", "yaml", "re2", "isal", "zstandard", "zlib"),
        *("lamina.api.errors", "lamina.api.failures", "lamina.cacheio.backend"),
        *("lamina.cacheio.cache_config", "lamina.cacheio.export", "lamina.sources.layout"),
        *("lamina.cacheio.options", "lamina.daemon.server", "lamina.engine.caching.mount_caches"),
        *("lamina.layers.apply", "lamina.layers.diff", "lamina.layers.pack"),
        *("lamina.ops.copy", "lamina.ops.file_actions", "lamina.ops.modes", "lamina.refs.layout"),
        *(
            "lamina.refs.packing",
            "lamina.refs.plan",
            "lamina.refs.stacker",
            "lamina.registry.client",
        ),
        *("lamina.registry.hosts", "lamina.runtime.cdi", "lamina.runtime.contract"),
        *("lamina.runtime.runner", "lamina.session.agent_socket", "lamina.solver.chain"),
    }
)
"""Modules that neither a fully cached build nor its client may import."""


def imported(*words: str) -> set[str]:
    """Run the command as a process. Returns the modules that are imported at its end."""
    code = (
        "import sys\n"
        "from lamina.cli.main import main\n"
        "status = main(sys.argv[1:])\n"
        "print(*sys.modules)\n"
        "sys.exit(status)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        env={**os.environ, "LAMINA_CONFIG": os.devnull},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "CACHED" in done.stderr
    return set(done.stdout.split())


def test_a_cached_build_imports_only_what_it_uses(
    lamina: Lamina, context: Callable[..., Path]
) -> None:
    folder = context(DOCKERFILE, {"file": "content"})
    lamina.build(folder)
    found = imported("build", "--root", str(lamina.root), "--progress=plain", str(folder))
    embedded = {"socket", "queue", "hpack", "lamina.api.control", "lamina.wire.connection"}
    assert sorted(found & (UNUSED | embedded)) == []
    assert "lamina.engine.engine" in found


def test_the_client_of_a_daemon_imports_only_what_it_uses(
    tmp_path: Path, context: Callable[..., Path]
) -> None:
    folder = context(DOCKERFILE, {"file": "content"})
    with DaemonProcess(tmp_path / "daemon") as daemon:
        RemoteLamina(tmp_path / "none", daemon.address).build(folder)
        found = imported("build", "--builder", daemon.address, "--progress=plain", str(folder))
    remote = {"sqlite3", "ctypes", "hpack", "lamina.engine.engine", "lamina.solver.scheduler"}
    assert sorted(found & (UNUSED | remote)) == []
    assert "lamina.wire.connection" in found

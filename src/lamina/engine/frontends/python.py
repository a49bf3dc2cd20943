"""`python.v0`: build files in Python, run by `lamina.frontend` in a container.

The container has this process's Python and lamina, read-only, and nothing else of this machine. It
has no network.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import lamina
from lamina.engine.frontends.gateway import ContainerFrontend, call_environment
from lamina.llb.op import Definition
from lamina.refs.ref import Ref
from lamina.runtime.contract import BindMount, Network, Process, Sandbox, TmpfsMount

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lamina.attest.contract import FrontendCall
    from lamina.engine.build_result import BuildResult
    from lamina.engine.frontends.contract import FrontendBuild

_UNPRIVILEGED = "65534:65534"
_SYSTEM = ("/usr", "/lib", "/lib32", "/lib64", "/libx32", "/bin", "/sbin", "/etc/ld.so.cache")
_MODULE = "lamina.frontend"


def run_python(
    build: FrontendBuild, call: FrontendCall, inputs: Mapping[str, Definition]
) -> BuildResult:
    """Run the build file of a call. Raises the error that it returns."""
    source = os.path.dirname(os.path.dirname(os.path.abspath(lamina.__file__)))
    environment = (
        *call_environment(build, call.attrs),
        f"PYTHONPATH={source}",
        "PYTHONDONTWRITEBYTECODE=1",
        "HOME=/tmp",
        "PATH=/usr/local/bin:/usr/bin:/bin",
        "LANG=C.UTF-8",
    )
    with build.refs.writable(Ref(), build.cancel) as (rootfs, staged):
        try:
            mounts = tuple(_interpreter_mounts(rootfs, source))
            return ContainerFrontend(build, call, inputs, Definition()).run(
                Process((sys.executable, "-m", _MODULE), environment, "/", _UNPRIVILEGED),
                Sandbox(rootfs, (TmpfsMount("/tmp"), *mounts), network=Network.NONE),
            )
        finally:
            build.refs.discard(staged)


def _interpreter_mounts(rootfs: str, source: str) -> Iterator[BindMount]:
    """Mounts of what Python needs. Links such as `/lib` to `usr/lib` are made in `rootfs`."""
    for path in _SYSTEM:
        if os.path.islink(path):
            os.symlink(os.readlink(path), rootfs + path)
        elif os.path.exists(path):
            yield BindMount(path, path, readonly=True)
    wanted = {sys.base_prefix, sys.base_exec_prefix, sys.prefix, sys.exec_prefix, source}
    for path in sorted(wanted):
        # Of directories in each other only the outer one, and nothing that is mounted above.
        outer = [other for other in ("/usr", *wanted) if path.startswith(f"{other}/")]
        if not outer and path != "/usr":
            yield BindMount(path, path, readonly=True)

"""Settings that buildkitd obeys and lamina does not: whoever made them should know."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.errors import Unsupported

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lamina.daemon.config import DaemonConfig


def inert_settings(config: DaemonConfig) -> Iterator[str]:
    """A warning for each. Raises Unsupported where going on would be worse than not starting."""
    worker = config.worker
    if worker.network.mode == "none":
        raise Unsupported(
            "worker network mode none is not supported: steps would have the machine's network",
            hint="builds can ask for it themselves: --network=none",
        )
    if worker.network.mode in ("bridge", "cni"):
        yield f"network mode {worker.network.mode} is not supported: steps share this machine's"
    if config.proxy_network:
        yield "proxyNetwork is not supported: nothing enforces a proxy"
    if worker.rootless:
        yield "rootless mode is not supported: the daemon runs with the rights that it has"
    if worker.no_process_sandbox:
        yield "noProcessSandbox is not supported: steps always have processes of their own"
    if worker.selinux:
        yield "SELinux labels are not supported"
    if config.system.registry_connections:
        yield "maxRegistryConcurrency is not supported"
    if config.grpc.debug_address:
        yield "debugAddress is not supported: there are no Go profiles to serve"

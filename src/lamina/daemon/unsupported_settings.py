"""Warnings about settings that buildkitd supports and lamina does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lamina.daemon.config import DaemonConfig


def unsupported_settings(config: DaemonConfig) -> Iterator[str]:
    """One warning for each such setting."""
    worker = config.worker
    if config.proxy_network:
        yield "proxyNetwork is not supported: nothing enforces a proxy"
    if worker.no_process_sandbox:
        yield "noProcessSandbox is not supported: steps always have a PID namespace"
    if worker.selinux:
        yield "SELinux labels are not supported"
    if config.grpc.debug_address:
        yield "debugAddress is not supported: there are no Go profiles to serve"

from __future__ import annotations

from lamina.daemon.config import (
    DaemonConfig,
    GrpcConfig,
    WorkerConfig,
)
from lamina.daemon.unsupported_settings import unsupported_settings


def test_supported_settings_need_no_warning() -> None:
    assert list(unsupported_settings(DaemonConfig())) == []
    assert list(unsupported_settings(DaemonConfig(worker=WorkerConfig(max_parallelism=3)))) == []


def test_unsupported_settings_are_named() -> None:
    worker = WorkerConfig(no_process_sandbox=True, selinux=True)
    config = DaemonConfig(
        proxy_network=True,
        worker=worker,
        grpc=GrpcConfig(debug_address=":1"),
    )
    text = "\n".join(unsupported_settings(config))
    for name in ("proxyNetwork", "noProcessSandbox", "SELinux"):
        assert name in text
    assert len(text.splitlines()) == 4

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lamina.base.errors import InvalidInput, LaminaError, NotFound
from lamina.cli.commands import COMMANDS
from lamina.cli.daemon_options import group_id, read_config
from lamina.cli.flags import parse
from lamina.daemon.config import CdiConfig, DiskSpace, LifeConfig, LogConfig, TlsFiles

if TYPE_CHECKING:
    from pathlib import Path

    from lamina.daemon.config import DaemonConfig


@pytest.fixture(autouse=True)
def no_usual_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAMINA_CONFIG", str(tmp_path / "usual.toml"))
    (tmp_path / "usual.toml").touch()


def read(*words: str) -> DaemonConfig:
    return read_config(parse(COMMANDS["daemon"], words)).config


def test_flags_win_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text(
        "root = '/file'\nfoo = 1\ninsecure-entitlements = ['device']\n"
        "[grpc]\naddress = ['unix:///file']\ngid = 9\n[worker.oci.labels]\na = 'file'\nb = 'file'\n"
    )
    loaded = read_config(parse(COMMANDS["daemon"], ["--config", str(path)]))
    assert loaded.config.root == "/file"
    assert loaded.warnings == (f"{path}: unknown key foo is ignored",)
    found = read(
        f"--config={path}",
        "--root=/flag",
        "--addr=unix:///a",
        "--addr",
        "tcp://127.0.0.1:1",
        "--allow-insecure-entitlement=network.host",
        "--oci-worker-labels=a=flag,with=comma",
        "--group=0",
    )
    assert found.root == "/flag"
    assert found.grpc.address == ("unix:///a", "tcp://127.0.0.1:1")
    assert found.grpc.gid == 0
    assert found.entitlements == ("network.host",)
    assert dict(found.worker.labels) == {"a": "flag,with=comma", "b": "file"}


def test_all_kinds_of_flags() -> None:
    assert read("--debug").log == LogConfig("text", "debug")
    assert read("--debug=false").log == LogConfig("text", "info")
    assert read("--debug", "--log-level=warning", "--log-format=json").log == ("json", "warn")
    assert read("--trace").log.level == "trace"
    assert read("--oci-worker-gc=false").worker.gc.enabled is False
    assert read("--oci-worker-gc").worker.gc.enabled is True
    assert read("--oci-worker=true").worker.enabled is True
    assert read("--oci-worker=auto").worker.enabled is None
    assert read("--oci-worker-net", "host").worker.network.mode == "host"
    assert read("--oci-worker-platform=linux/arm64").worker.platforms == ("linux/arm64",)
    assert read("--oci-worker-snapshotter=native").worker.snapshotter == "native"
    assert read("--oci-max-parallelism=3").worker.max_parallelism == 3
    assert read("--oci-worker-binary=runc").worker.binary == "runc"
    assert read("--rootless").worker.rootless
    assert read("--rootless", "--oci-worker-no-process-sandbox").worker.no_process_sandbox
    assert read("--tlscert=c", "--tlskey=k", "--tlscacert=a").grpc.tls == TlsFiles("c", "k", "a")
    assert read("--cdi-disabled", "--cdi-spec-dir=/x").cdi == CdiConfig(True, ("/x",))
    assert read("--drain-timeout=1m30s").life == LifeConfig(90.0)
    assert read("--drain-timeout=5").life == LifeConfig(5.0)
    assert read("--stop-timeout=1m", "--drain-timeout=5").life == LifeConfig(5.0, 60.0)
    assert read("--stop-timeout=0").life.stop_timeout == 0
    gc = read("--oci-worker-gc-keepstorage=1,2,3").worker.gc
    assert (gc.reserved, gc.min_free, gc.max_used) == tuple(
        DiskSpace(n * 1_000_000) for n in (1, 2, 3)
    )
    # Accepted settings without effect.
    read("--containerd-worker=false", "--containerd-worker-gc", "--containerd-worker-addr", "/x")
    read("--otel-socket-path=/x", "--debugaddr=:6060", "--save-cache-debug", "--proxy-network")


@pytest.mark.parametrize(
    "word",
    [
        "--containerd-worker=true",
        "--containerd-worker=maybe",
        "--oci-worker=false",
        "--oci-worker-labels=x",
        "--oci-worker-net=carrier-pigeon",
        "--oci-worker-snapshotter=zfs",
        "--oci-worker-proxy-snapshotter-path=/x",
        "--oci-worker-no-process-sandbox",
        "--oci-worker-gc-keepstorage=1,2,3,4",
        "--oci-worker-gc-keepstorage=x",
        "--oci-max-parallelism=-1",
        "--tlscert=c",
        "--tlscacert=a",
        "--allow-insecure-entitlement=x",
        "--drain-timeout=soon",
        "--stop-timeout=soon",
        "--log-level=loud",
    ],
)
def test_invalid_options(word: str) -> None:
    with pytest.raises(InvalidInput):
        read(word)


def test_groups() -> None:
    assert group_id("1234") == 1234
    assert group_id("root") == 0
    with pytest.raises(NotFound):
        group_id("no-such-group")


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(LaminaError, match="does not exist"):
        read("--config=/no/such.toml")

"""The choice of the daemon for a command, and TLS."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from tests.commands import Lamina, RemoteLamina
from tests.daemon_process import DaemonProcess
from tests.real_registry import free_port, make_certificates

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_certificates_both_ways(tmp_path: Path, context: Callable[..., Path]) -> None:
    certificates = tmp_path / "certificates"
    make_certificates(certificates)
    files = {name: str(certificates / f"{name}.pem") for name in ("ca", "cert", "key")}
    address = f"tcp://127.0.0.1:{free_port()}"
    shown = [f"--tlscert={files['cert']}", f"--tlskey={files['key']}", f"--tlscacert={files['ca']}"]
    folder = context("FROM scratch\nCOPY Dockerfile /\n")
    with DaemonProcess(tmp_path / "store", f"--addr={address}", *shown):
        client = RemoteLamina(tmp_path, address)
        client.build(folder, *shown)
        client.build(folder, f"--tlsdir={certificates}")
        assert client("du", env={"LAMINA_TLS_DIR": str(certificates)}).code == 0
        nobody = client("du", f"--tlscacert={files['ca']}")
        assert nobody.code == 1
        assert "Reclaimable" not in nobody.out
        assert client("du").code == 1  # without TLS
        other = tmp_path / "other"
        make_certificates(other)
        shutil.copy(other / "ca.pem", certificates / "ca.pem")
        untrusted = client("du", f"--tlsdir={certificates}")
        assert untrusted.code == 1
        assert "certificate is not trusted" in untrusted.err
        half = client("du", f"--tlscert={files['cert']}")
        assert "must be given together" in half.err


def test_flags_count_before_the_environment(tmp_path: Path) -> None:
    nowhere = "unix:///nowhere/sock"
    local = Lamina(tmp_path / "store")
    assert local("du", env={"LAMINA_HOST": nowhere}).code == 0  # --root selects this store
    assert "cannot be combined" in local("du", f"--builder={nowhere}").err
    client = RemoteLamina(tmp_path, nowhere, LAMINA_ROOT=str(tmp_path / "store"))
    refused = client("du")
    assert refused.code == 1
    assert "/nowhere/sock" in refused.err
    assert client("du", "--builder=").code == 0
    with DaemonProcess(tmp_path / "other") as daemon:
        assert client("du", f"--builder={daemon.address}").code == 0
        plain = {"LAMINA_HOST": "", "BUILDKIT_HOST": daemon.address}
        assert client("du", env=plain).code == 0
    assert 'there is no builder "nonsense"' in client("du", "--builder=nonsense").err
    assert "invalid address" in client("du", "--builder=smoke://signal").err


@pytest.mark.parametrize(
    "command",
    [
        *(["images"], ["rmi", "x"], ["inspect", "x"], ["run", "x"], ["push", "x"], ["pull", "x"]),
        *(["cache", "ls"], ["cache", "rm", "x"], ["cache", "export", "--to=type=local,dest=x"]),
    ],
)
def test_commands_that_need_the_local_store_are_refused_with_a_daemon(
    tmp_path: Path, command: list[str]
) -> None:
    with DaemonProcess(tmp_path / "store") as daemon:
        done = RemoteLamina(tmp_path, daemon.address)(*command)
    assert done.code == (125 if command[0] == "run" else 1)
    assert f"the daemon at {daemon.address} cannot " in done.err
    assert "hint: " in done.err

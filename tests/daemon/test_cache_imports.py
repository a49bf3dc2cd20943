"""Cache imports of API clients: a faulty cache does not stop a build."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from lamina.api import control
from lamina.api.message import unary
from lamina.wire.contract import StatusError
from tests.daemon.daemon_client import progress, solve
from tests.daemon_process import DaemonProcess
from tests.real_registry import running_registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[DaemonProcess]:
    with DaemonProcess(tmp_path / "store") as daemon:
        yield daemon


REFUSED = {
    "unknown type": ("nonesuch", {}, 'unknown type "nonesuch"'),
    "no token": ("gha", {"scope": "x"}, "there is no token for the GitHub Actions cache"),
    "no name": ("registry", {}, "type=registry needs ref"),
    "no such name": ("registry", {"ref": "UPPER CASE"}, "UPPER CASE"),
    "no digest": ("local", {"src": "x", "digest": "sha256:1"}, "sha256:1"),
    "no boolean": ("registry", {"ref": "a/b", "registry.insecure": "x"}, "registry.insecure"),
}


@pytest.mark.parametrize("case", list(REFUSED))
def test_invalid_imports_are_warnings(
    daemon: DaemonProcess, context: Callable[..., Path], case: str
) -> None:
    kind, attrs, reason = REFUSED[case]
    ref = os.urandom(8).hex()
    imports = json.dumps([{"Type": kind, "Attrs": attrs}] * 2)
    with daemon.dial() as channel:
        solve(channel, context("RUN true\n"), ref, **{"cache-imports": imports})
        shown = progress(channel, ref)
    [warning] = {warning.short for warning in shown.warnings}
    assert warning.startswith(b"the cache ")
    assert reason.encode() in warning
    names = {vertex.name: vertex.error for vertex in shown.vertexes if vertex.completed}
    [failed] = [name for name in names if name.startswith("importing cache manifest from ")]
    assert reason in names[failed]


def test_an_invalid_import_in_the_request_fails_no_build(daemon: DaemonProcess) -> None:
    cache = control.CacheOptions(imports=(control.CacheOptionsEntry("nonesuch", ()),))
    request = control.SolveRequest("r", frontend="dockerfile.v0", cache=cache)
    with daemon.dial() as channel, pytest.raises(StatusError) as failed:
        unary(channel, control.SOLVE, request, control.SolveResponse, control.SCHEMA)
    assert "nonesuch" not in failed.value.message  # only the Dockerfile is missing


def test_unknown_attributes_of_a_cache_are_ignored(
    daemon: DaemonProcess, context: Callable[..., Path], tmp_path: Path
) -> None:
    folder = context("RUN echo 1 > /file\n")
    with running_registry(tmp_path / "registry") as host, daemon.dial() as channel:
        ref = os.urandom(8).hex()
        attrs = {"ref": f"{host}/none:1", "mode": "max", "some": "thing"}
        imports = json.dumps([{"Type": "registry", "Attrs": attrs}])
        solve(channel, folder, ref, **{"cache-imports": imports})
        [warning] = progress(channel, ref).warnings
    assert b"does not exist" in warning.short


def test_imports_that_are_no_text_are_refused(
    daemon: DaemonProcess, context: Callable[..., Path]
) -> None:
    imports = json.dumps([{"Type": "registry", "Attrs": {"ref": 1}}])
    with daemon.dial() as channel, pytest.raises(StatusError) as failed:
        solve(channel, context("RUN true\n"), **{"cache-imports": imports})
    assert "failed to unmarshal cache-imports" in failed.value.message

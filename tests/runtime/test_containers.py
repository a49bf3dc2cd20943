"""Containers with several processes, on both runtimes."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Scenario = Callable[[str], Any]


@pytest.fixture(params=["crun", "runc"])
def scenario(request: pytest.FixtureRequest, tmp_path: Path) -> Scenario:
    rootfs = tmp_path / "rootfs"
    (rootfs / "bin").mkdir(parents=True)
    (tmp_path / "scratch").mkdir()
    shutil.copy("/bin/busybox", rootfs / "bin" / "busybox")
    for name in ("sh", "id", "sleep", "stty", "pwd"):
        (rootfs / "bin" / name).symlink_to("busybox")

    def run(name: str) -> Any:
        command = [sys.executable, "-m", "tests.runtime.container_driver", name, request.param]
        done = subprocess.run(
            [*command, str(tmp_path / "scratch"), str(rootfs)],
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode()
        found = json.loads(done.stdout)
        assert found["left"] == []
        return found["answer"]

    return run


def test_further_processes(scenario: Scenario) -> None:
    assert scenario("further") == [
        ["b c\n", 5],
        ["", "3\n", "4\n", 0],
        "not found",
        "invalid",
        ["7\n", 0],
        ["/bin\n", 0],
        "not found",  # no such user
        ["hup\n", 9],
        ["", "not found"],  # the container has stopped
    ]


def test_all_processes_end_with_the_first(scenario: Scenario) -> None:
    assert scenario("first ends") == [["", 137], ["", 137]]


def test_a_first_process_that_cannot_be_started(scenario: Scenario) -> None:
    assert scenario("not found") == ["not found", "not found"]


def test_terminals_have_their_size(scenario: Scenario) -> None:
    assert scenario("terminals") == ["22 33", "60 100", "40 80", "60 100", "7"]


def test_a_container_in_which_nothing_ran(scenario: Scenario) -> None:
    assert scenario("nothing") == []

"""`lamina build --debug` with a daemon."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.daemon_process import DaemonProcess
from tests.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

TEXT = """
FROM base
ENV WORD=spoken
WORKDIR /src
RUN --mount=type=cache,target=/cache \
    echo partial > result && test -e /cache/fixed && exit 0; exit 7
"""


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[DaemonProcess]:
    with DaemonProcess(tmp_path / "daemon") as process:
        yield process


def command(daemon: DaemonProcess, folder: Path, *flags: str) -> list[str]:
    build = [sys.executable, "-m", "lamina", "build", "--progress=plain"]
    return [*build, f"--builder={daemon.address}", *flags, str(folder)]


def test_a_shell_in_a_failed_step(daemon: DaemonProcess, context: Callable[..., Path]) -> None:
    terminal = Terminal(command(daemon, context(TEXT), "--debug"))
    try:
        terminal.until("This is a shell in the failed step.")
        assert terminal.ask("pwd; cat result; echo $WORD") == "/src\r\npartial\r\nspoken\r\n"
        terminal.say("retry")
        terminal.until("This is a shell in the failed step.")
        terminal.ask("touch /cache/fixed")
        terminal.say("retry")
        assert terminal.end() == 0
    finally:
        terminal.close()


def test_giving_up(daemon: DaemonProcess, context: Callable[..., Path]) -> None:
    terminal = Terminal(command(daemon, context("FROM base\nRUN exit 7\n"), "--debug=on-error"))
    try:
        terminal.until("This is a shell in the failed step.")
        terminal.say("exit")
        assert terminal.end() == 1
        assert "exit code: 7" in terminal.seen
    finally:
        terminal.close()


def test_an_image_without_a_shell(daemon: DaemonProcess, context: Callable[..., Path]) -> None:
    text = 'FROM scratch\nCOPY busybox /only\nRUN ["/only", "false"]\n'
    terminal = Terminal(command(daemon, context(text), "--debug"))
    try:
        assert terminal.end() == 1
        assert "This is a shell in the failed step." in terminal.seen
        assert "Traceback" not in terminal.seen
    finally:
        terminal.close()


@pytest.mark.parametrize("value", ["always", "step:2"])
def test_what_a_daemon_does_not_support(
    daemon: DaemonProcess, context: Callable[..., Path], value: str
) -> None:
    done = subprocess.run(
        command(daemon, context("FROM base\n"), f"--debug={value}"),
        capture_output=True,
        text=True,
        env={**os.environ},
    )
    assert done.returncode == 1
    assert f"--debug={value}" in done.stderr

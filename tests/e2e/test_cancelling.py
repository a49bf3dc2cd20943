"""Ctrl-C: the running step gets SIGTERM, and is killed after its grace period or at the second
Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.commands import Lamina

STEP = "FROM base\nRUN trap '{}' TERM; echo ready; while :; do sleep 0.02; done\n"


def interrupted(
    lamina: Lamina, folder: Path, *waits: float, timeout: str = ""
) -> tuple[int, str, float]:
    """Interrupt a build when its step runs, and again after each wait.

    Returns its status, its output from then on, and the time since the last signal (seconds).
    """
    environ = {**lamina.environment(), **({"LAMINA_STOP_TIMEOUT": timeout} if timeout else {})}
    child = subprocess.Popen(
        lamina.command("build", "--progress=plain", str(folder)),
        env=environ,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert child.stderr is not None
        assert any(line.endswith(" ready\n") for line in child.stderr)
        child.send_signal(signal.SIGINT)
        for wait in waits:
            time.sleep(wait)
            child.send_signal(signal.SIGINT)
        started = time.monotonic()
        rest = child.stderr.read()
        return child.wait(), rest, time.monotonic() - started
    finally:
        child.kill()
        child.wait()
        assert child.stderr is not None
        child.stderr.close()


def test_an_interrupted_step_can_end_by_itself(
    lamina: Lamina, context: Callable[..., Path]
) -> None:
    code, rest, _ = interrupted(lamina, context(STEP.format("sleep 0.3; echo bye; exit 0")))
    assert code == 130
    assert " bye\n" in rest
    assert " CANCELED\n" in rest
    assert "interrupted" in rest


def test_the_second_signal_kills_it(lamina: Lamina, context: Callable[..., Path]) -> None:
    code, rest, seconds = interrupted(lamina, context(STEP.format("echo no")), 0.5)
    assert code == 130
    assert " no\n" in rest
    assert seconds < 5


@pytest.mark.parametrize(("timeout", "least"), [("600ms", 0.5), ("0", 0.0)])
def test_how_long_it_may_take_is_configured(
    lamina: Lamina, context: Callable[..., Path], timeout: str, least: float
) -> None:
    folder = context(STEP.format("echo no"))
    code, rest, seconds = interrupted(lamina, folder, timeout=timeout)
    assert code == 130
    assert (" no\n" in rest) == (least > 0)
    assert least <= seconds < 5


def test_an_invalid_stop_timeout_is_refused(lamina: Lamina, context: Callable[..., Path]) -> None:
    environ = {**os.environ, "LAMINA_STOP_TIMEOUT": "soon"}
    done = lamina("build", str(context("FROM base\nRUN true\n")), env=environ)
    assert done.code == 1
    assert 'invalid LAMINA_STOP_TIMEOUT "soon": not a duration' in done.err

"""The last line of a build on a terminal."""

from __future__ import annotations

import os
import pty
import subprocess
from typing import TYPE_CHECKING

from lamina.cli.savings_line import savings_line
from lamina.records.savings import Savings
from lamina.records.steps import Step

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.commands import Lamina

CACHED = Step("a", "[1/2] RUN a", (), 0.0, 0.0, True)
RAN = Step("b", "[2/2] RUN \x1b[2Jb", (), 0.0, 2.5)


def test_the_parts_that_are_known() -> None:
    both = Savings(((CACHED, 61.0), (CACHED, 4.0)), 0, RAN)
    text = "The cache saved 1m  5s in 2 steps; 2.5s for [2/2] RUN  [2Jb cost most"
    assert savings_line(both) == text
    assert savings_line(Savings(((CACHED, 1.0),), 1, None)) == "The cache saved 1.0s in 1 step"
    assert savings_line(Savings((), 3, RAN)).startswith("2.5s for")
    assert savings_line(Savings((), 0, None)) == ""
    assert savings_line(Savings((), 0, RAN._replace(completed=0.01))) == ""


def test_a_build_on_a_terminal(context: Callable[..., Path], lamina: Lamina) -> None:
    folder = context("FROM base\nRUN sleep 0.3\nCOPY name /\n", {"name": "a"})
    assert on_terminal(lamina, folder).endswith(" cost most")
    (folder / "name").write_text("b")
    assert "The cache saved " in on_terminal(lamina, folder)
    assert "The cache saved" not in lamina.build(folder)  # plain


def on_terminal(lamina: Lamina, folder: Path) -> str:
    """The last line of a build whose standard error is a terminal."""
    parent, child = pty.openpty()
    with open(parent, "rb", buffering=0) as terminal:
        command = lamina.command("build", str(folder))
        with open(child, "wb", buffering=0) as stream:
            process = subprocess.Popen(command, stderr=stream, env={**os.environ, "TERM": "xterm"})
        shown = b""
        while True:
            try:
                data = terminal.read(1 << 16)
            except OSError:  # Linux's end of a terminal
                break
            if not data:
                break
            shown += data
        assert process.wait() == 0
    return shown.decode().rstrip().splitlines()[-1].strip()

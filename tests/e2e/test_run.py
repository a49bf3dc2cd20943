"""`lamina run` at a terminal and in a pipe."""

from __future__ import annotations

import fcntl
import os
import struct
import subprocess
import termios
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.commands import Lamina


@pytest.fixture
def image(lamina: Lamina, context: Callable[..., Path]) -> str:
    lamina.build(context("FROM base\nRUN echo text > /text; mkdir /folder\n"), "-t", "x")
    return "x"


def test_standard_input_is_passed_on_with_i_alone(lamina: Lamina, image: str) -> None:
    assert lamina("run", "-i", image, "cat", stdin=b"typed").out == "typed"
    assert lamina("run", image, "cat", stdin=b"typed").out == ""


@pytest.mark.parametrize(
    ("command", "status", "reason"),
    [
        ("no-such-command", 127, 'the command "no-such-command" is not in the image'),
        ("/no/such", 127, 'the command "/no/such" is not in the image'),
        ("/text", 126, 'the command "/text" cannot be executed'),
        ("/folder", 126, 'the command "/folder" cannot be executed'),
    ],
)
def test_commands_that_cannot_be_executed(
    lamina: Lamina, image: str, command: str, status: int, reason: str
) -> None:
    done = lamina("run", image, command)
    assert done.code == status
    assert reason in done.err
    assert lamina("run", "no-such-image", "true").code == 125


def test_the_terminal_has_a_size_and_follows_ours(lamina: Lamina, image: str) -> None:
    main, side = os.openpty()
    fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 77, 0, 0))
    script = "stty size; read x; stty size"
    child = subprocess.Popen(
        ["setsid", "--ctty", "--wait", *lamina.command("run", "-it", image, "sh", "-c", script)],
        stdin=side,
        stdout=side,
        stderr=side,
    )
    os.close(side)
    shown = b""
    while b"33 77" not in shown:
        shown += os.read(main, 1000)
    fcntl.ioctl(main, termios.TIOCSWINSZ, struct.pack("HHHH", 44, 88, 0, 0))
    time.sleep(0.5)
    os.write(main, b"\n")
    with suppress(OSError):  # a closed terminal reads as EIO
        while data := os.read(main, 1000):
            shown += data
    os.close(main)
    assert child.wait() == 0
    assert b"44 88" in shown


def test_a_volume_is_read_only_with_all_that_is_mounted_in_it(
    lamina: Lamina, image: str, tmp_path: Path
) -> None:
    volume = tmp_path / "volume"
    (volume / "inner").mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "t", str(volume / "inner")], check=True)
    try:
        (volume / "inner" / "file").write_text("below")
        script = "cat /v/inner/file; echo bad > /v/inner/file; echo > /v/new"
        done = lamina("run", "-v", f"{volume}:/v:ro", image, "sh", "-c", script)
        assert done.out == "below"
        assert done.err.count("Read-only file system") == 2
        writing = lamina("run", "-v", f"{volume}:/v", image, "sh", "-c", "echo > /v/inner/file")
        assert writing.code == 0, writing.err
    finally:
        subprocess.run(["umount", str(volume / "inner")], check=True)

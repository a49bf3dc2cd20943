from __future__ import annotations

import os
import re
import subprocess
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.cli.terminal import TerminalFilter, harmless

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.commands import Lamina

COLOURS = "\x1b[1;31mred\x1b[0m \x1b[38:5:120mgreen\x1b[m\n"
OBEYED = {
    "title": "\x1b]0;title\x07",
    "clipboard": "\x1b]52;c;cm0gLXJm\x1b\\",
    "device control": "\x1bPq#0;2;0;0;0\x1b\\",
    "application": "\x1b_payload\x1b\\",
    "clear": "\x1b[2J\x1b[H",
    "up": "\x1b[5A",
    "private mode": "\x1b[?1049h",
    "keyboard": "\x1b[>4;2m",
    "report": "\x1b[6n",
    "reset": "\x1bc",
    "charset": "\x1b(0\x0e",
    "C1 in UTF-8": "\x9b2J\x9d0;x\x9c",
    "bell": "\x07",
    "open string": "\x1b]0;never closed",
}


@pytest.mark.parametrize("text", OBEYED.values(), ids=OBEYED.keys())
def test_control_sequences_are_dropped(text: str) -> None:
    shown = harmless(f"before\n{text}\nafter {COLOURS}")
    assert shown.startswith("before\n")
    assert shown.endswith(f"\nafter {COLOURS}")
    assert not re.search(r"[\x00-\x07\x0b-\x1a\x1c-\x1f\x7f-\x9f]|\x1b(?!\[[0-9;:]*m)", shown)


def test_colours_tabs_and_other_writing_stay() -> None:
    text = f"{COLOURS}10%\r20%\ttab \u00e9\u4e2d\U0001f600 a\b\n"
    assert harmless(text) == text
    assert TerminalFilter()(text.encode()) == text.encode()
    assert TerminalFilter()(b"caf\xe9 \x9b2J") == b"caf\xe9 2J"


@given(st.lists(st.sampled_from([*OBEYED.values(), COLOURS, "text\n", "\u00e9"])), st.data())
def test_sequences_may_be_cut_anywhere(parts: list[str], draw: st.DataObject) -> None:
    data = ("".join(parts) + "\n").encode()
    whole = TerminalFilter()(data)
    cuts = sorted(draw.draw(st.lists(st.integers(0, len(data)))))
    keep = TerminalFilter()
    pieces = [keep(data[a:b]) for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    assert b"".join(pieces) == whole
    assert not re.search(rb"\x1b(?!\[[0-9;:]*m)", whole)


def on_a_terminal(command: list[str], environment: dict[str, str]) -> bytes:
    """The output of a command whose streams are all one terminal."""
    ours, its = os.openpty()
    process = subprocess.Popen(
        command, stdin=its, stdout=its, stderr=its, env={**environment, "TERM": "xterm"}
    )
    os.close(its)
    got = bytearray()
    try:
        while piece := os.read(ours, 4096):
            got += piece
    except OSError:  # the other end of the terminal is closed
        pass
    finally:
        os.close(ours)
        process.wait()
    return bytes(got)


@pytest.mark.parametrize("progress", ["plain", "tty", "rawjson"])
def test_steps_and_dockerfiles_do_not_command_a_terminal(
    lamina: Lamina, context: Callable[..., Path], progress: str
) -> None:
    title = "\x1b]0;owned\x07"
    folder = context(
        f"LABEL a='{title}'\n"
        "RUN printf '\\033[31mred\\033[0m \\033]0;owned\\007\\033[2J' # " + title + "\n"
        f"RUN printf '\\033]0;owned\\007'; exit 3 # {title}\n"
    )
    args = ("build", f"--progress={progress}", "--no-cache", str(folder))
    seen = on_a_terminal(lamina.command(*args), lamina.environment())
    assert b"exit code: 3" in seen
    assert b"\x1b]" not in seen
    assert b"\x07" not in seen
    assert b"\x1b[2J" not in seen
    if progress == "plain":
        assert b"\x1b[31mred\x1b[0m" in seen
    if progress != "tty":
        piped = subprocess.run(lamina.command(*args), capture_output=True).stderr
        assert title.encode() in piped
    if progress == "plain":
        assert b"\x1b[31mred\x1b[0m \x1b]0;owned\x07\x1b[2J" in piped


def test_answers_about_a_dockerfile_do_not_command_a_terminal(
    lamina: Lamina, context: Callable[..., Path]
) -> None:
    folder = context("# a \x1b]0;owned\x07 comment\nARG A=\x1b]0;owned\x07\nFROM scratch AS x\n")
    for call in ("outline", "targets", "check"):
        args = ("build", f"--call={call}", str(folder))
        assert b"\x1b]" not in on_a_terminal(lamina.command(*args), lamina.environment())

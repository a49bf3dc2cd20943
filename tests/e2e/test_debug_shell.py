"""`lamina build --debug` on a terminal."""

from __future__ import annotations

import termios
from typing import TYPE_CHECKING

import pytest

from tests.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.commands import Lamina

TEXT = """
FROM base
ENV WORD=spoken
WORKDIR /src
RUN --mount=type=secret,id=s --mount=type=cache,target=/cache \
    echo begun > begun && echo kept > /cache/c && test -e /cache/fixed && exit 0; exit 7
RUN echo after > /after
"""


@pytest.fixture
def terminal(
    lamina: Lamina, context: Callable[..., Path], tmp_path: Path
) -> Iterator[Callable[..., Terminal]]:
    opened = []
    (tmp_path / "secret").write_text("hidden")

    def build(text: str, *flags: str) -> Terminal:
        secret = f"--secret=id=s,src={tmp_path / 'secret'}"
        command = lamina.command("build", secret, *flags, str(context(text)))
        opened.append(Terminal(command))
        return opened[-1]

    yield build
    for each in opened:
        each.close()


@pytest.mark.parametrize("progress", ["plain", "tty"])
def test_a_shell_in_a_failed_step(
    terminal: Callable[..., Terminal], lamina: Lamina, context: Callable[..., Path], progress: str
) -> None:
    shell = terminal(TEXT, "--debug", f"--progress={progress}", "-t=made")
    shell.until("This is a shell in the failed step.")
    assert shell.ask("pwd; cat begun /cache/c; echo $WORD; id -u; cat /run/secrets/s") == (
        "/src\r\nbegun\r\nkept\r\nspoken\r\n0\r\nhidden"
    )
    shell.say("exit")
    assert shell.end() == 1
    assert "exit code: 7" in shell.seen
    assert termios.tcgetattr(shell.slave) == shell.attributes

    shell = terminal(TEXT, "--debug=on-error", f"--progress={progress}", "-t=made")
    shell.until("This is a shell in the failed step.")
    shell.ask("touch /src/lost")
    shell.say("retry")
    shell.until("This is a shell in the failed step.")
    assert "lost" not in shell.ask("ls /src")
    shell.ask("touch /cache/fixed")
    shell.say("retry")
    assert shell.end() == 0
    shown = lamina("run", "made", "/bin/cat", "/src/begun", "/after")
    assert shown.out == "begun\nafter\n"
    assert lamina("run", "made", "/bin/ls", "/dev/lamina").code != 0


def test_accepted_files_are_not_cached(
    terminal: Callable[..., Terminal], lamina: Lamina, context: Callable[..., Path]
) -> None:
    text = "FROM base\nRUN echo half > /half; exit 3\nRUN echo after > /after\n"
    shell = terminal(text, "--debug", "--progress=plain", "-t=accepted")
    shell.until("This is a shell in the failed step.")
    shell.ask("echo whole > /half")
    shell.say("continue")
    assert shell.end() == 0
    shown = lamina("run", "accepted", "/bin/cat", "/half", "/after")
    assert shown.out == "whole\nafter\n"
    assert lamina("run", "accepted", "/bin/ls", "/dev/lamina").code != 0
    again = lamina("build", "--progress=plain", str(context(text)))
    assert again.code == 1
    assert "exit code: 3" in again.err


def test_an_image_without_a_shell(terminal: Callable[..., Terminal]) -> None:
    text = 'FROM scratch\nCOPY busybox /only\nRUN ["/only", "false"]\n'
    shell = terminal(text, "--debug", "--progress=plain")
    shell.until("This is a shell in the failed step.")
    assert "only" in shell.ask("ls /").split()
    shell.say("exit 0")
    assert shell.end() == 1


def test_a_build_that_is_interrupted_in_its_shell(terminal: Callable[..., Terminal]) -> None:
    shell = terminal("FROM base\nRUN exit 3\n", "--debug", "--progress=plain")
    shell.until("This is a shell in the failed step.")
    assert shell.ask("echo $((1 + 1))") == "2\r\n"
    shell._process.terminate()
    assert shell.end() == 143
    assert termios.tcgetattr(shell.slave) == shell.attributes


@pytest.mark.parametrize(
    ("value", "stops"),
    [("always", ("one", "two")), ("step:> /two", ("two",)), ("step:2", ("one",)), ("step:no", ())],
)
def test_breakpoints(
    terminal: Callable[..., Terminal],
    lamina: Lamina,
    context: Callable[..., Path],
    value: str,
    stops: tuple[str, ...],
) -> None:
    lamina.build(context("FROM base\n"))
    text = "FROM base AS named\nWORKDIR /w\nRUN echo one > /one\nRUN echo two > /two\n"
    shell = terminal(text, f"--debug={value}", "--progress=plain")
    for stop in stops:
        shell.until("This is a shell in the step after its command.")
        assert shell.ask(f"cat /{stop}") == f"{stop}\r\n"
        shell.say("continue")
    assert shell.end() == 0


def test_a_build_that_is_given_up_after_a_step(terminal: Callable[..., Terminal]) -> None:
    shell = terminal("FROM base\nRUN true\n", "--debug=step:RUN true", "--progress=plain")
    shell.until("This is a shell in the step after its command.")
    assert shell.ask("echo $((1 + 1))") == "2\r\n"
    shell.say("exit")
    assert shell.end() == 1
    assert "given up" in shell.seen


def test_without_a_terminal(lamina: Lamina, context: Callable[..., Path]) -> None:
    folder = context("FROM base\nRUN exit 3\n")
    done = lamina("build", "--debug", str(folder))
    assert done.code == 1
    assert "exit code: 3" in done.err
    done = lamina("build", "--debug=on-error", str(folder))
    assert done.code == 1
    assert "--debug=on-error requires a terminal" in done.err
    done = lamina("build", "--debug=sometimes", str(folder))
    assert done.code == 1
    assert 'invalid argument "sometimes" for --debug' in done.err

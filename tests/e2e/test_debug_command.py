"""`lamina debug`: shells and commands in the failed steps of records."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.commands import Done, Lamina

TEXT = """
FROM base AS other
RUN echo of another stage > /other
FROM base
ENV WORD=spoken
WORKDIR /src
RUN --mount=type=secret,id=s --mount=from=other,target=/bound --mount=type=tmpfs,target=/t \
    echo partial > result; exit 7
"""


def failed(lamina: Lamina, folder: Path, *flags: str) -> Done:
    done = lamina("build", "--progress=plain", *flags, str(folder))
    assert done.code == 1
    return done


def test_commands_in_a_failed_step(
    lamina: Lamina, context: Callable[..., Path], tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("hidden")
    flag = f"--secret=id=s,src={secret}"
    failed(lamina, context(TEXT), flag)
    script = "pwd; cat result /bound/other; echo $WORD; echo >> result; cat /run/secrets/s; exit 5"
    done = lamina("debug", flag, "^", "sh", "-c", script)
    assert done.out == "/src\npartial\nof another stage\nspoken\nhidden"
    assert done.code == 5
    # Without the secret its file is missing. Earlier changes were discarded.
    again = lamina("debug", "^", "sh", "-c", "cat result; test -e /run/secrets/s || echo none")
    assert (again.out, again.code) == ("partial\nnone\n", 0)
    assert lamina("debug", "^", "cat", stdin=b"typed").out == "typed"


def test_a_shell_in_a_failed_step(lamina: Lamina, context: Callable[..., Path]) -> None:
    failed(lamina, context(TEXT))
    terminal = Terminal(lamina.command("debug"))
    try:
        terminal.until("This is a shell in the failed step.")
        assert terminal.ask("cat result; echo more > result; cat result") == "partial\r\nmore\r\n"
        terminal.say("exit 3")
        assert terminal.end() == 3
    finally:
        terminal.close()
    assert lamina("debug", "^", "cat", "result").out == "partial\n"


def test_records_keep_the_files(lamina: Lamina, context: Callable[..., Path]) -> None:
    failed(lamina, context(TEXT))
    assert lamina("prune", "--force").code == 0
    assert lamina("debug", "^", "cat", "result", "/bound/other").out.startswith("partial\n")
    assert lamina("prune", "--all", "--force").code == 0
    gone = lamina("debug", "^", "cat", "result")
    assert gone.code == 1
    assert "not in the store any more" in gone.err

    failed(lamina, context(TEXT))
    ref = lamina("history", "ls", "--format={{.Ref}}").out.split()[0].rpartition("/")[2]
    assert lamina("history", "rm", ref).code == 0
    assert lamina("prune", "--force").code == 0
    assert "Total:       0B" in lamina("du").out


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("FROM base\nCOPY nothing /\n", "is no command"),
        ("FROM\n", "no step of build"),
        ("FROM base\n", "no step of build"),
    ],
)
def test_builds_without_a_failed_command(
    lamina: Lamina, context: Callable[..., Path], text: str, problem: str
) -> None:
    lamina("build", str(context(text)))
    done = lamina("debug", "^", "true")
    assert done.code == 1
    assert problem in done.err
    assert "Traceback" not in done.err


def test_a_shell_needs_a_terminal(lamina: Lamina, context: Callable[..., Path]) -> None:
    failed(lamina, context(TEXT))
    done = lamina("debug")
    assert done.code == 1
    assert "requires a terminal" in done.err
    missing = lamina("debug", "^", "no-such-command")
    assert "is not in the image" in missing.err

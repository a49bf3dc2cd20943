"""The hints of errors."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from tests.commands import RemoteLamina

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.commands import Lamina


def failure(builder: Lamina, folder: Path, *args: str) -> str:
    done = builder("build", "--progress=plain", *args, str(folder))
    assert done.code == 1
    return done.err


def test_a_file_that_is_excluded(
    builder: Lamina, context: Callable[..., Path], tmp_path: Path
) -> None:
    folder = context(
        "FROM scratch\nCOPY notes.txt /\n",
        {"notes.txt": "", ".dockerignore": "# all texts\n\n*.txt\n!other.txt\n"},
    )
    told = failure(builder, folder)
    assert 'ERROR: "/notes.txt": not found' in told or '"/notes.txt": not found' in told
    assert "hint: line 3 of .dockerignore (*.txt) excludes it\n" in told
    other = tmp_path / "my.Dockerfile"
    other.write_text("FROM scratch\nADD sub/a /\n")
    (tmp_path / "my.Dockerfile.dockerignore").write_text("sub\n")
    (folder / "sub").mkdir()
    (folder / "sub/a").write_text("")
    told = failure(builder, folder, "-f", str(other))
    assert "hint: line 1 of my.Dockerfile.dockerignore (sub) excludes it\n" in told


@pytest.mark.parametrize(
    ("written", "near"),
    [("busibox", "busybox"), ("src/mian.c", "src/main.c"), ("SRC/main.c", "src/main.c")],
)
def test_a_file_that_is_misspelt(
    builder: Lamina, context: Callable[..., Path], written: str, near: str
) -> None:
    folder = context(f"FROM scratch\nCOPY {written} /\n", {"src/main.c": ""})
    assert f"hint: did you mean {near}?\n" in failure(builder, folder)


def test_a_file_of_a_stage_is_no_file_of_the_context(
    builder: Lamina, context: Callable[..., Path]
) -> None:
    folder = context("FROM scratch\nCOPY --from=base notes.txt /\n", {"notes.tx": ""})
    assert "did you mean" not in failure(builder, folder)


def test_warnings_are_shown_with_the_error_that_they_explain(
    builder: Lamina, context: Callable[..., Path]
) -> None:
    folder = context(
        "FROM scratch\nCOPY notes.txt /\n", {"notes.txt": "", ".dockerignore": "*.txt\n"}
    )
    told = failure(builder, folder)
    warning = told.index(" 1 warning found (use --debug to expand):\n - CopyIgnoredFile: ")
    assert warning < told.rindex("ERROR: ")


def test_a_registry_that_is_not_there(builder: Lamina, context: Callable[..., Path]) -> None:
    folder = context("")
    (folder / "Dockerfile").write_text("FROM 127.0.0.1:9/x/y:1\n")
    assert "hint: is the registry running? check its name and port" in failure(builder, folder)


def test_a_daemon_that_is_not_there(context: Callable[..., Path], tmp_path: Path) -> None:
    folder = context("FROM scratch\n")
    path = tmp_path / "left.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    for address in (f"unix://{path}", f"unix://{tmp_path}/none", "tcp://127.0.0.1:9"):
        told = failure(RemoteLamina(tmp_path, address), folder)
        assert f"ERROR: connect to {address}: " in told
        assert f"`lamina daemon --addr {address}` starts one" in told
        assert "BUILDKIT_HOST" in told


@pytest.mark.parametrize("word", ["form", "COPPY"])
def test_an_instruction_is_quoted_as_it_is_written(
    builder: Lamina, context: Callable[..., Path], word: str
) -> None:
    folder = context(f"FROM scratch\n{word} x\n")
    assert f"ERROR: unknown instruction: {word}\nhint: did you mean " in failure(builder, folder)

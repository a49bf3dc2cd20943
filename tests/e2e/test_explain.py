"""`lamina explain` on real builds: each cause of a cache miss, and pairs of causes."""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.commands import RemoteLamina
from tests.daemon_process import DaemonProcess

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.commands import Lamina


def explained(lamina: Lamina, *args: str) -> dict[str, str]:
    """The explanations by the steps' names, without the stages."""
    return {
        step["name"].partition("] ")[2]: step["explanation"] for step in steps_of(lamina, *args)
    }


def steps_of(lamina: Lamina, *args: str) -> list[dict[str, Any]]:
    done = lamina("explain", "--format=json", *args)
    assert done.code == 0, done.err
    steps: list[dict[str, Any]] = json.loads(done.out)["steps"]
    return steps


def test_files_of_the_context(lamina: Lamina, context: Callable[..., Path]) -> None:
    folder = context(
        "FROM base\nCOPY src /src\nRUN cat /src/a\nRUN true\n",
        {"src/a": "one", "src/b": "two", "src/c/d": "x"},
    )
    lamina.build(folder)
    assert explained(lamina)["COPY src /src"] == "never built here"
    (folder / "src/a").write_text("three")
    (folder / "src/b").unlink()
    (folder / "src/new").mkdir()
    (folder / "src/new/file").write_text("x")
    os.chmod(folder / "src/c/d", 0o600)
    lamina.build(folder)
    assert explained(lamina) == {
        "COPY src /src": "src/a changed, src/b removed, src/new/ added,"
        " mode of src/c/d changed from 0644 to 0600",
        "RUN cat /src/a": "depends on COPY src /src, which changed",
        "RUN true": "depends on COPY src /src, which changed",
    }
    lamina.build(folder)
    done = lamina("explain")
    assert "No step missed the cache." in done.out
    cached = lamina("explain", "--step", "RUN true")
    assert "RUN true — cached" in cached.out


def test_a_changed_command_shows_the_lines(lamina: Lamina, context: Callable[..., Path]) -> None:
    lamina.build(context("FROM base\nRUN <<EOF\necho one\necho two\nEOF\n"))
    lamina.build(context("FROM base\nRUN <<EOF\necho one\necho three\nEOF\n"))
    done = lamina("explain")
    assert done.code == 0, done.err
    assert "— command changed" in done.out
    assert "    - echo two\n    + echo three" in done.out


_ARGUMENT = "FROM base\nARG V=1\nENV E=$V\nRUN echo $E\n"


@pytest.mark.parametrize(
    ("first", "second", "args", "step", "expected"),
    [
        (_ARGUMENT, _ARGUMENT, "--build-arg=V=2", "RUN echo", "build argument V changed from 1 to"),
        ("FROM base\nENV A=1\nRUN true\n", "FROM base\nENV A=2\nRUN true\n", "", "RUN true", "ENV"),
        ("FROM base\nRUN true\n", "FROM base\nENV B=2\nRUN true\n", "", "RUN true", "ENV B added"),
        ("FROM base\nRUN true\n", "FROM base\nRUN false || true\n", "", "RUN false", "command"),
        ("FROM base\nRUN true\n", "FROM base\nUSER 1\nRUN true\n", "", "RUN true", "user added (1"),
        (
            "FROM base\nRUN true\n",
            "FROM base\nRUN --mount=type=cache,target=/c true\n",
            "",
            "true",
            "--mount added (type=cache,target=/c",
        ),
        (
            "FROM base\nRUN --mount=type=cache,target=/c,id=a true\n",
            "FROM base\nRUN --mount=type=cache,target=/c,id=b true\n",
            "",
            "true",
            "--mount changed from type=cache,target=/c,id=/a",
        ),
        (
            "FROM base\nCOPY busybox /b\n",
            "FROM base\nCOPY --chmod=700 busybox /b\n",
            "",
            "/b",
            "--chmod added (0700)",
        ),
        (
            "FROM base\nCOPY busybox /b\n",
            "FROM base\nCOPY busybox /c\n",
            "",
            "/c",
            "destination changed from /b to /c",
        ),
        (
            "FROM base\nCOPY <<EOF /x\none\nEOF\n",
            "FROM base\nCOPY <<EOF /x\ntwo\nEOF\n",
            "",
            "/x",
            "content of /EOF changed",
        ),
        ("FROM base\nRUN true\n", "FROM base\nRUN echo 1\nRUN true\n", "", "RUN echo", "new instr"),
        (
            "FROM base\nRUN true\n",
            "FROM base\nRUN echo 1\nRUN true\n",
            "",
            "RUN true",
            "depends on RUN echo 1, which is new",
        ),
        (
            "FROM base\nRUN echo 1\nRUN true\n",
            "FROM base\nRUN true\n",
            "",
            "RUN true",
            "RUN echo 1 was removed before it",
        ),
        (
            "FROM base\nRUN echo 1\nRUN echo 2\nRUN true\n",
            "FROM base\nRUN echo 2\nRUN echo 1\nRUN true\n",
            "",
            "RUN true",
            "was moved",
        ),
        (
            "FROM base AS a\nRUN echo 1\nFROM base AS b\nRUN echo 2\nFROM a\nRUN true\n",
            "FROM base AS a\nRUN echo 1\nFROM base AS b\nRUN echo 2\nFROM b\nCOPY --from=a bin /b"
            "\nRUN true\n",
            "",
            "RUN true",
            "depends on COPY --from=a bin /b, which is new",
        ),
        (
            "FROM base\nCOPY --link busybox /b\n",
            "FROM base\nCOPY busybox /b\n",
            "",
            "/b",
            "--link removed",
        ),
        ("FROM base\nRUN true\n", "FROM base\nRUN true\n", "--no-cache", "RUN true", "--no-cache"),
        (
            "FROM base\nRUN true\n",
            "FROM base\nRUN --network=none true\n",
            "",
            "true",
            "--network changed from unset to none",
        ),
    ],
)
def test_causes(
    lamina: Lamina,
    context: Callable[..., Path],
    first: str,
    second: str,
    args: str,
    step: str,
    expected: str,
) -> None:
    lamina.build(context(first))
    lamina.build(context(second), *filter(None, [args]))
    found = [text for name, text in explained(lamina).items() if step in name]
    assert len(found) == 1
    assert expected in found[0], found


def test_displays_say_why_from_the_second_build_on(
    tmp_path: Path, lamina: Lamina, context: Callable[..., Path]
) -> None:
    text = "FROM base\nCOPY a /a\nRUN cat /a\n"
    assert "not cached" not in lamina.build(context(text, {"a": "1"}))
    folder = context(text, {"a": "22"})
    log = lamina.build(folder)
    assert re.search(r"^#\d+ not cached: a changed$", log, re.MULTILINE)
    assert re.search(r"^#\d+ not cached: depends on COPY a /a, which changed$", log, re.MULTILINE)
    assert "not cached" not in lamina.build(folder)
    with DaemonProcess(lamina.root) as daemon:
        remote = RemoteLamina(tmp_path, daemon.address)
        assert "not cached" not in remote.build(folder)
        (folder / "a").write_text("333")
        assert re.search(r"^#\d+ not cached: a changed$", remote.build(folder), re.MULTILINE)

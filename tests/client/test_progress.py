"""The progress of a build: steps that have not started, and steps that were stopped."""

from __future__ import annotations

import json
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.commands import Lamina


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_steps_are_shown_as_cancelled(
    builder: Lamina, context: Callable[..., Path], number: int
) -> None:
    folder = context(
        "FROM base AS a\nRUN echo begun-a; sleep 60\nFROM base\nRUN echo no\nCOPY --from=a / /\n"
    )
    with subprocess.Popen(
        builder.command("build", "--progress=plain", str(folder)),
        env=builder.environment(),
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        log = ""
        while not log.endswith("begun-a\n"):
            line = process.stderr.readline()
            assert line, log
            log += line
        process.send_signal(number)
        rest = process.stderr.read()
        assert process.wait(30) == 128 + number
    step = next(line for line in log.splitlines() if "RUN echo begun-a" in line).split()[0]
    assert f"{step} CANCELED\n" in rest
    assert rest.endswith("ERROR: interrupted\n")


def test_steps_beside_one_that_fails_are_cancelled(
    builder: Lamina, context: Callable[..., Path]
) -> None:
    folder = context(
        "FROM base AS a\nRUN sleep 30\nFROM base AS b\nRUN sleep 1; exit 3\n"
        "FROM base\nCOPY --from=a /x /\nCOPY --from=b /x /\n"
    )
    done = builder("build", "--progress=plain", str(folder))
    assert done.code == 1
    assert " CANCELED\n" in done.err
    assert "exit code: 3" in done.err


def test_all_steps_are_known_before_the_first_begins(
    builder: Lamina, context: Callable[..., Path]
) -> None:
    folder = context("".join(["FROM base\n", *(f"RUN echo {number}\n" for number in range(9))]))
    done = builder("build", "--progress=rawjson", str(folder))
    assert done.code == 0, done.err
    vertices = [
        vertex
        for line in done.err.splitlines()
        for vertex in json.loads(line).get("vertexes", ())
        if vertex["name"].startswith("[") and not vertex["name"].startswith("[internal")
    ]
    first = next(place for place, vertex in enumerate(vertices) if vertex.get("started"))
    assert len({vertex["digest"] for vertex in vertices[:first]}) == 11
    assert len({vertex["digest"] for vertex in vertices}) == 11

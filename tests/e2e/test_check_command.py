"""Checks and subrequests through the command."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from tests.commands import Lamina

_TEXT = """# DIR is where it goes
ARG DIR=/srv
FROM scratch AS Final
ARG DIR
COPY a ${DIR}/
CMD run
"""


def folder(path: Path, text: str = _TEXT) -> Path:
    made = path / "context"
    made.mkdir()
    (made / "Dockerfile").write_text(text)
    (made / "a").write_text("a")
    return made


def test_check(lamina: Lamina, tmp_path: Path) -> None:
    done = lamina("build", "--check", str(folder(tmp_path)))
    assert done.code == 1
    assert done.out.startswith("Check complete, 2 warnings have been found!\n\nWARNING: StageName")
    assert (
        "\nWARNING: JSONArgsRecommended - https://docs.docker.com/go/dockerfile/rule/json-args-recommended/\n"
        in done.out
    )
    assert "\n   6 | >>> CMD run\n" in done.out
    assert not (tmp_path / "store" / "blobs" / "sha256").exists() or not any(
        (tmp_path / "store" / "blobs" / "sha256").iterdir()
    )


def test_check_of_a_clean_file(lamina: Lamina, tmp_path: Path) -> None:
    done = lamina("build", "--check", str(folder(tmp_path, "FROM scratch\nCOPY a /\n")))
    assert (done.code, done.out) == (0, "Check complete, no warnings found.\n")


def test_check_of_a_broken_file(lamina: Lamina, tmp_path: Path) -> None:
    done = lamina("build", "--check", "-q", str(folder(tmp_path, "FROM scratch\nCOPPY a /\n")))
    assert done.code == 1
    assert done.err.startswith(
        "ERROR: dockerfile parse error on line 2: unknown instruction: COPPY"
        " (did you mean COPY?)\nDockerfile:2\n"
    )


def test_outline_and_targets(lamina: Lamina, tmp_path: Path) -> None:
    made = folder(tmp_path)
    done = lamina("build", "--call=outline", str(made))
    assert done.code == 0
    assert "BUILD ARG   VALUE   DESCRIPTION\nDIR         /srv    is where it goes\n" in done.out
    done = lamina("build", "--call=targets,format=json", str(made))
    assert json.loads(done.out)["targets"][0]["name"] == "final"


def test_warnings_of_a_build(lamina: Lamina, tmp_path: Path) -> None:
    made = folder(tmp_path)
    log = lamina.build(made)
    assert "#1 WARN: StageNameCasing: Stage name 'Final' should be lowercase (line 3)\n" in log
    ending = log[log.index(" 2 warnings found (use --debug to expand):\n") :].splitlines()[1:]
    assert ending == [
        " - StageNameCasing: Stage name 'Final' should be lowercase (line 3)",
        " - JSONArgsRecommended: JSON arguments recommended for CMD to prevent unintended behavior "
        "related to OS signals (line 6)",
    ]
    log = lamina.build(made, "--debug")
    assert "More info: https://docs.docker.com/go/dockerfile/rule/stage-name-casing/\n" in log
    assert "   3 | >>> FROM scratch AS Final\n" in log


def test_warnings_as_errors(lamina: Lamina, tmp_path: Path) -> None:
    made = folder(tmp_path)
    arg = "--build-arg=BUILDKIT_DOCKERFILE_CHECK=skip=StageNameCasing;error=true"
    done = lamina("build", arg, str(made))
    assert done.code == 1
    assert "ERROR: lint violation found for rules: JSONArgsRecommended\n" in done.err
    assert lamina("build", arg.replace("error=true", "error=false"), str(made)).code == 0

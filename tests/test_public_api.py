"""The public names of lamina: those of `__all__`, and no others."""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import lamina

PUBLIC = (
    *("AlreadyExists", "BakeOptions", "BuildExplanation", "BuildOptions", "BuildPlan"),
    *("BuildResult", "Builder", "CacheRecord", "Cancelled", "CommandFailed"),
    *("CompletedContainer", "Container", "Corrupt", "Event", "Exhausted", "ExplainedStep"),
    *("ImageSummary", "Internal", "InvalidInput", "LaminaError", "LogEvent", "Mount"),
    *("NotFound", "NotebookProgress", "PermissionDenied", "Planned", "PlannedStep"),
    *("PruneOutcome", "ReasonEvent", "RecordRow", "ResourceEvent", "RunOptions", "Running"),
    *("RunningBake", "RunningBuild", "State", "StatusEvent", "Unavailable", "Unsupported"),
    *(
        "VertexEvent",
        "WarningEvent",
        "aio",
        "bind",
        "cache",
        "connect",
        "from_build_file",
        "from_dockerfile",
    ),
    *("frontend", "git", "http", "image", "local", "merge", "oci_layout", "scratch", "secret"),
    *("ssh", "terminal_progress", "testing", "tmpfs"),
)
"""Removing a name needs a deprecation: see docs/python/index.md."""


def test_the_public_names() -> None:
    assert list(PUBLIC) == lamina.__all__
    assert set(PUBLIC) <= set(dir(lamina))


def test_every_name_is_there_and_documented() -> None:
    for name in PUBLIC:
        found = getattr(lamina, name)
        assert found.__doc__, name


def test_type_checkers_see_the_same_names() -> None:
    assert lamina.__file__ is not None
    tree = ast.parse(Path(lamina.__file__).read_text())
    [block] = [node for node in tree.body if isinstance(node, ast.If)]
    names = {
        alias.asname or alias.name
        for node in block.body
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    assert names == set(PUBLIC)


def test_unknown_names() -> None:
    assert not hasattr(lamina, "unknown")


PROGRAM = Path(__file__).with_name("program_of_a_user.py")
WRONG = """import lamina
lamina.scratch().run(1)
lamina.connect().build(tag="x")
lamina.connect().bake(1)
lamina.connect().plan(".").steps[0].name + 1
lamina.bind("directory", "/src")
"""


def test_users_of_the_api_are_checked_strictly(tmp_path: Path) -> None:
    def check(program: Path) -> str:
        command = [sys.executable, "-m", "mypy", "--strict", "--no-incremental", str(program)]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True).stdout

    assert check(PROGRAM).startswith("Success")
    (tmp_path / "wrong.py").write_text(WRONG)
    assert check(tmp_path / "wrong.py").count("error:") == 5


@pytest.mark.skipif(shutil.which("pyright") is None, reason="pyright is not installed")
def test_users_of_the_api_are_checked_by_pyright(tmp_path: Path) -> None:
    def check(name: str) -> dict[str, Any]:
        settings = {
            "typeCheckingMode": "strict",
            "include": [name],
            "extraPaths": [str(Path(lamina.__path__[0]).parent)],
        }
        (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings))
        command = ["pyright", "--outputjson", "--pythonpath", sys.executable]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    shutil.copy(PROGRAM, tmp_path / "program.py")
    found = check("program.py")
    assert found["summary"]["filesAnalyzed"] == 1
    assert found["generalDiagnostics"] == []
    (tmp_path / "wrong.py").write_text(WRONG)
    lines = {d["range"]["start"]["line"] + 1 for d in check("wrong.py")["generalDiagnostics"]}
    assert lines == {2, 3, 4, 5, 6}

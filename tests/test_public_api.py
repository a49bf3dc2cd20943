"""The public names of lamina: those of `__all__`, and no others."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

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


def test_users_of_the_api_are_checked_strictly(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import lamina\n\n"
        "def build(name: str) -> str:\n"
        "    state = lamina.image(name).run('make', mounts=[lamina.cache('/root/.cache')])\n"
        "    with lamina.connect() as builder:\n"
        "        return builder.build(state, tags=['app']).digest\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-incremental", str(program)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    program.write_text("import lamina\nlamina.scratch().run(1)\nlamina.connect().build(tag='x')\n")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-incremental", str(program)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.stdout.count("error:") == 2, done.stdout

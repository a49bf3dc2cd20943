"""What CONTRIBUTING.md promises: the files that it names, and linters that check all Python."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
TOOLS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]


def test_every_path_exists() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    paths = set(re.findall(r"(?:scripts|tests|docs|benchmarks|\.ci)/[\w./-]*\w", text))
    assert len(paths) > 8
    assert [path for path in sorted(paths) if not (ROOT / path).exists()] == []


def test_the_example_of_some_tests_finds_some() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    ((path, word),) = re.findall(r"scripts/test (tests/\S+\.py) -k (\w+)", text)
    assert re.search(rf"^def test_\w*{word}", (ROOT / path).read_text(), re.MULTILINE)


def test_linters_check_every_python_script() -> None:
    """Those have no suffix by which ruff and mypy would find them."""
    scripts = {
        f"scripts/{path.name}"
        for path in (ROOT / "scripts").iterdir()
        if re.match(rb"#!.*python", path.read_bytes())
    }
    assert set(TOOLS["ruff"]["extend-include"]) == scripts
    assert set(TOOLS["mypy"]["files"]) == {"src", "tests", "benchmarks"} | scripts

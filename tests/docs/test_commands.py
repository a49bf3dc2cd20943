"""Commands, settings and imports in the documents exist."""

from __future__ import annotations

import ast
import re
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

import lamina
from lamina.cli.commands import COMMANDS
from lamina.daemon.config_file import parse_config

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])


def blocks(text: str, languages: str) -> list[str]:
    return re.findall(rf"^```(?:{languages})\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def commands(text: str) -> list[list[str]]:
    """The words of each `lamina` command in the blocks of shell code."""
    found = []
    for block in blocks(text, "sh|console|yaml"):
        block = re.sub(r"\$\([^)]*\)", "…", block.replace("\\\n", " "))
        for line in block.splitlines():
            for part in re.split(r"&&|\||;", line.partition(" #")[0]):
                words = part.split()
                names = [n for n, word in enumerate(words) if Path(word).name == "lamina"]
                if names and len(words) > names[0] + 1:
                    found.append(words[names[0] + 1 :])
    return found


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_commands_and_their_flags_exist(path: Path) -> None:
    for line in commands(path.read_text()):
        while line[0].startswith("--"):  # --root DIR, --builder NAME
            line = line[1 if "=" in line[0] else 2 :]
        name, words = COMMANDS.split(line)
        if not re.fullmatch(r"[a-z -]+", name):
            continue
        assert name in COMMANDS, name
        known = {flag.name for flag in COMMANDS[name].flags}
        for word in words:
            if word.startswith("--") and word != "--help":
                assert word[2:].partition("=")[0] in known, (name, word)


def names_of(code: str, module: str) -> set[str]:
    """The attributes of a module that a program uses."""
    return {
        node.attr
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == module
    }


@pytest.mark.parametrize(
    "path", [ROOT / "README.md", *(ROOT / "docs/python").glob("*.md")], ids=lambda path: path.name
)
def test_names_in_python_examples_exist(path: Path) -> None:
    for code in blocks(path.read_text(), "python"):
        if "await" in code:
            code = "async def main():\n" + "".join(f"    {line}\n" for line in code.splitlines())
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("lamina"):
                module = import_module(node.module or "")
                assert all(hasattr(module, alias.name) for alias in node.names)
        assert names_of(code, "lamina") <= set(lamina.__all__)
        assert all(hasattr(lamina.Builder, name) for name in names_of(code, "builder"))


def test_settings_of_the_daemon_in_the_guide_are_known() -> None:
    settings = blocks((ROOT / "docs" / "guide.md").read_text(), "toml")
    assert settings
    for text in settings:
        assert not parse_config(tomllib.loads(text), "lamina.toml").warnings

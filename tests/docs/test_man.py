"""The manual pages are complete, and `man` accepts them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lamina.cli.commands import COMMANDS

SCRIPT = Path(__file__).parents[2] / "scripts" / "man"


@pytest.fixture
def pages(tmp_path: Path) -> Path:
    subprocess.run([sys.executable, SCRIPT, tmp_path], check=True, capture_output=True)
    return tmp_path


def test_every_command_has_a_page_with_its_flags(pages: Path) -> None:
    overview = (pages / "lamina.1").read_text()
    for command in COMMANDS.values():
        name = f"lamina-{command.name.replace(' ', '-')}"
        text = (pages / f"{name}.1").read_text()
        for flag in command.flags:
            shown = flag.name.replace("-", "\\-")
            assert flag.hidden or f"\\-\\-{shown}" in text, (name, flag.name)
        assert name.replace("-", "\\-") in overview


@pytest.mark.skipif(shutil.which("groff") is None, reason="groff is not installed")
def test_the_pages_are_well_formed(pages: Path) -> None:
    files = sorted(map(str, pages.iterdir()))
    done = subprocess.run(
        ["groff", "-man", "-Tutf8", "-k", "-ww", "-z", *files], capture_output=True, text=True
    )
    assert done.returncode == 0
    assert done.stderr == ""

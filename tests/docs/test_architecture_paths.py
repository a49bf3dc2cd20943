"""The page on the architecture names modules that exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "architecture.md").read_text()


def test_every_module_exists() -> None:
    paths = set(re.findall(r"`([a-z_]+/[a-z0-9_/]+\.py)`", TEXT))
    assert len(paths) > 50
    missing = [
        p for p in paths if not ((ROOT / "src" / "lamina" / p).is_file() or (ROOT / p).is_file())
    ]
    assert not missing


def test_every_package_has_its_row() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", TEXT, re.MULTILINE)
    packages = [p.parent.name for p in (ROOT / "src" / "lamina").glob("*/__init__.py")]
    assert sorted(set(rows) & set(packages)) == sorted(packages)


def test_modules_that_an_option_of_the_frontend_touches() -> None:
    """The example of "Where do I change X"."""
    source = ROOT / "src" / "lamina"
    found = [
        str(path.relative_to(source))
        for path in sorted(source.rglob("*.py"))
        if "bake" not in str(path.relative_to(source))  # these options have a row of their own
        and re.search(r"shm[-_]size", path.read_text())
    ]
    assert found == [
        "builder/options.py",
        "cli/history/document.py",
        "cli/usage/frontend_flags.py",
        "dockerfile/convert_run.py",
        "dockerfile/options.py",
        "records/op_changes.py",
    ]
    row = next(line for line in TEXT.splitlines() if "`--shm-size`" in line)
    assert set(re.findall(r"`([a-z_]+/[a-z_/]+\.py)`", row)) == set(found)

"""The files of an image with this Python and lamina's frontend for build files."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import hpack

import lamina

EXECUTABLE = Path(os.path.realpath(sys.executable))


def copy_python(root: Path) -> None:
    """This Python (also as /usr/bin/python3), its shared libraries; in /lamina, lamina and the
    libraries that its frontend needs."""
    library = Path(sysconfig.get_path("stdlib"))
    unwanted = shutil.ignore_patterns("site-packages", "dist-packages", "test", "__pycache__")
    shutil.copytree(library, _below(root, library), ignore=unwanted)
    copied = [EXECUTABLE, *library.glob("lib-dynload/*.so")]
    listed = subprocess.run(["ldd", *map(str, copied)], capture_output=True, text=True).stdout
    for path in {EXECUTABLE, *map(Path, re.findall(r"(/\S+) \(0x", listed))}:
        _below(root, path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, _below(root, path))
    link = root / "usr/bin/python3"
    if not link.exists():
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(EXECUTABLE)
    for module in (lamina, hpack):
        found = Path(module.__path__[0])
        shutil.copytree(found, root / "lamina" / found.name, ignore=unwanted)


def _below(root: Path, path: Path) -> Path:
    return root / path.relative_to("/")

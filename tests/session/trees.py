"""Random directories on disk, and their content."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

if TYPE_CHECKING:
    from pathlib import Path

_NAMES = st.sampled_from(["a", "b", "ab", "a.b", "a-b", "A", "\u00e9", "\U0001f600", ".x", "a b"])
# Times are not whole seconds: such files are not trusted, and are fetched each time.
_TIMES = st.integers(0, 2_000_000_000).map(lambda second: second * 1_000_000_000 + 4_000_001)
_PERMS = st.sampled_from([0o644, 0o600, 0o755, 0o444, 0o4755, 0o2755, 0o1777])
_FILES = st.tuples(
    st.just("file"),
    st.binary(max_size=2),
    st.sampled_from([0, 1, 7, 32_768, 70_000]),
    _PERMS,
    _TIMES,
)
_LINKS = st.tuples(st.just("link"), st.sampled_from(["a", "../b", "/etc/passwd", "a/b"]), _TIMES)
_OTHERS = st.tuples(st.just("fifo"), _PERMS, _TIMES)
_SAME = st.tuples(st.just("same"), st.integers(0, 3))


def _folders(children: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.tuples(
        st.just("folder"), st.dictionaries(_NAMES, children, max_size=4), _PERMS, _TIMES
    )


def trees() -> st.SearchStrategy[dict[str, Any]]:
    """The content of a directory, by name."""
    leaves = _FILES | _LINKS | _OTHERS | _SAME
    return st.dictionaries(_NAMES, st.recursive(leaves, _folders, max_leaves=12), max_size=5)


def write(root: Path, tree: dict[str, Any]) -> None:
    """Write a tree into an empty directory."""
    files: list[str] = []
    _write(str(root), tree, files)


def _write(folder: str, tree: dict[str, Any], files: list[str]) -> None:
    for name, node in tree.items():
        path = f"{folder}/{name}"
        match node:
            case ("file", data, times, mode, time):
                with open(path, "wb") as file:
                    file.write(data * times)
                os.chmod(path, mode)
                os.utime(path, ns=(time, time))
                files.append(path)
            case ("link", target, time):
                os.symlink(target, path)
                os.utime(path, ns=(time, time), follow_symlinks=False)
            case ("fifo", mode, time):
                os.mkfifo(path)
                os.chmod(path, mode)
                os.utime(path, ns=(time, time))
            case ("same", number):
                if files:
                    os.link(files[number % len(files)], path)
            case ("folder", children, mode, time):
                os.mkdir(path)
                _write(path, children, files)
                os.chmod(path, mode | 0o700)
                os.utime(path, ns=(time, time))


def look(root: Path) -> dict[str, tuple[Any, ...]]:
    """All data that must be equal, by path; hard links by the first of their names."""
    found: dict[str, tuple[Any, ...]] = {}
    first: dict[tuple[int, int], str] = {}
    for folder, folders, files in os.walk(root):
        folders.sort()
        for name in sorted([*folders, *files]):
            path = os.path.join(folder, name)
            relative = os.path.relpath(path, root)
            status = os.lstat(path)
            content: bytes | str = b""
            if stat.S_ISREG(status.st_mode):
                with open(path, "rb") as file:
                    content = file.read()
            elif stat.S_ISLNK(status.st_mode):
                content = os.readlink(path)
            found[relative] = (
                status.st_mode,
                status.st_mtime_ns,
                content,
                tuple(sorted(os.listxattr(path, follow_symlinks=False))),
                first.setdefault((status.st_dev, status.st_ino), relative),
            )
    return found

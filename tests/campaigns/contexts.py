"""Random build contexts, and random changes to them."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from pathlib import Path

FOLDERS = ("d", "d/e", "s", "s/d")
NAMES = ("a", "b.txt", "c.txt", "d/x", "d/y.txt", "d/e/z", "s/x", "s/d/y.txt", "s/w.md")
LINKS = {"l": ("a", "b.txt", "d", "nowhere"), "d/l": ("../a", "x", "e", "/a", "../s/x")}
ARCHIVE = "t.tar"
_PATTERNS = ("*.md", "d/e", "**/y.txt", "s", "!s/d", "*", "!d", "!*.txt", "d/*", "!d/x", "l")
_MODES = (0o600, 0o644, 0o640, 0o755, 0o4755, 0o444)


def make_context(chance: random.Random, folder: Path) -> None:
    """Files, directories, links, an archive, sometimes a `.dockerignore`. No Dockerfile."""
    folder.mkdir()
    for name in FOLDERS:
        (folder / name).mkdir()
    for name in NAMES:
        (folder / name).write_bytes(_content(chance))
        (folder / name).chmod(chance.choice(_MODES))
    for name, targets in LINKS.items():
        (folder / name).symlink_to(chance.choice(targets))
    _pack(chance, folder)
    if chance.random() < 0.4:
        _ignore(chance, folder)


def change(chance: random.Random, folder: Path) -> str:
    """Make a change. Returns a description of it in a word or two."""
    ways = {
        "edit": _edit,
        "edit, same size and time": _edit_in_place,
        "touch": _touch,
        "add": _add,
        "remove": _remove,
        "rename": _rename,
        "chmod": _chmod,
        "chown": _chown,
        "retarget": _retarget,
        "swap file and folder": _swap_type,
        "hard link": _hard_link,
        "exchange two files": _exchange,
        "xattr": _xattr,
        "archive": _pack,
        "ignore": _ignore,
    }
    name = chance.choice(list(ways))
    # There is nothing to change any more, or the file has another kind: try another change.
    with suppress(FileNotFoundError, FileExistsError, IsADirectoryError, NotADirectoryError):
        ways[name](chance, folder)
    return name


def save(folder: Path, copy: Path) -> None:
    subprocess.run(["cp", "-a", str(folder), str(copy)], check=True)


def restore(folder: Path, copy: Path) -> None:
    """Restore a context in place, including its times."""
    for entry in os.scandir(folder):
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path)
        else:
            os.unlink(entry.path)
    subprocess.run(["cp", "-a", f"{copy}/.", str(folder)], check=True)


def _content(chance: random.Random) -> bytes:
    # Few lengths and few contents, because partly equal files are the hard case for caches.
    return chance.choice((b"", b"1", b"2", b"one\n", b"two\n", b"x" * 70_000, b"y" * 70_000))


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def _some_file(chance: random.Random, folder: Path) -> Path:
    files = [path for path in _files(folder) if path.name not in (ARCHIVE, ".dockerignore")]
    if not files:
        raise FileNotFoundError
    return chance.choice(files)


def _edit(chance: random.Random, folder: Path) -> None:
    _some_file(chance, folder).write_bytes(_content(chance))


def _edit_in_place(chance: random.Random, folder: Path) -> None:
    path = _some_file(chance, folder)
    status = path.stat()
    data = bytearray(path.read_bytes())
    if data:
        data[chance.randrange(len(data))] ^= chance.randrange(1, 4)
    with path.open("r+b") as file:
        file.write(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def _touch(chance: random.Random, folder: Path) -> None:
    seconds = chance.randrange(1_600_000_000, 1_700_000_000)
    os.utime(_some_file(chance, folder), (seconds, seconds))


def _add(chance: random.Random, folder: Path) -> None:
    parent = folder / chance.choice(("", *FOLDERS))
    parent.mkdir(parents=True, exist_ok=True)
    name = chance.choice(("n", "m.txt", "k.md", "ü", "sp ace", "#1"))
    (parent / name).write_bytes(_content(chance))


def _remove(chance: random.Random, folder: Path) -> None:
    if chance.random() < 0.3:
        shutil.rmtree(folder / chance.choice(FOLDERS))
    else:
        _some_file(chance, folder).unlink()


def _rename(chance: random.Random, folder: Path) -> None:
    there = folder / chance.choice(NAMES)
    there.parent.mkdir(parents=True, exist_ok=True)
    _some_file(chance, folder).rename(there)


def _chmod(chance: random.Random, folder: Path) -> None:
    if chance.random() < 0.3:
        (folder / chance.choice(FOLDERS)).chmod(chance.choice((0o700, 0o755, 0o1777)))
    else:
        _some_file(chance, folder).chmod(chance.choice(_MODES))


def _chown(chance: random.Random, folder: Path) -> None:
    os.chown(_some_file(chance, folder), chance.choice((0, 7, 1000)), chance.choice((0, 8)))


def _retarget(chance: random.Random, folder: Path) -> None:
    name, targets = chance.choice(list(LINKS.items()))
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to(chance.choice(targets))


def _swap_type(chance: random.Random, folder: Path) -> None:
    """Replace a file by a directory with a file, or the reverse."""
    path = folder / chance.choice((*NAMES[:3], "d/e", "s/d"))
    if path.is_dir():
        shutil.rmtree(path)
        path.write_bytes(_content(chance))
    else:
        path.unlink()
        path.mkdir()
        (path / "in").write_bytes(_content(chance))


def _hard_link(chance: random.Random, folder: Path) -> None:
    source, target = _some_file(chance, folder), _some_file(chance, folder)
    if source != target:
        target.unlink()
        os.link(source, target)


def _exchange(chance: random.Random, folder: Path) -> None:
    one, other = _some_file(chance, folder), _some_file(chance, folder)
    between = folder / "between"
    one.rename(between)
    if one != other:
        other.rename(one)
    between.rename(other)


def _xattr(chance: random.Random, folder: Path) -> None:
    os.setxattr(_some_file(chance, folder), "user.test", chance.choice((b"1", b"2", b"")))


def _pack(chance: random.Random, folder: Path) -> None:
    source = folder / "d"
    with tarfile.open(folder / ARCHIVE, chance.choice(("w", "w:gz", "w:xz"))) as tar:
        if source.is_dir():
            tar.add(source, chance.choice(("in", "d")))


def _ignore(chance: random.Random, folder: Path) -> None:
    lines = chance.sample(_PATTERNS, chance.randrange(4))
    (folder / ".dockerignore").write_text("\n".join(lines) + "\n")

"""Mount points that a runtime creates in a root file system, and their removal after the step."""

from __future__ import annotations

import os
import stat
from bisect import bisect_left
from contextlib import suppress
from typing import TYPE_CHECKING

from lamina.base.named_tuple import NamedTuple
from lamina.runtime.users import beneath

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW
_GRAIN = 10_000_000
"""The time of a directory may differ by a tick or two (ns) from that of the file just made in
it."""


class Stub(NamedTuple):
    """A mount point that a runtime will create in the rootfs.

    `parts` is its path from the root, without links. `times` are the parent's earlier times
    (access, modification, in ns), None if the parent is a stub, too.
    """

    parts: tuple[str, ...]
    times: tuple[int, int] | None


def find_stubs(rootfs: str, targets: Iterable[str]) -> list[Stub]:
    """The mount points among `targets` that are not in the rootfs yet, outermost first.

    Targets have no `..` components.
    """
    stubs: list[Stub] = []
    seen: set[str] = set()
    for target in targets:
        for path in _missing(rootfs, [part for part in target.split("/") if part not in ("", ".")]):
            if path in seen:
                continue
            seen.add(path)
            times = None
            above = os.path.dirname(path)
            if above not in seen:
                with suppress(OSError):
                    status = os.stat(above, follow_symlinks=False)
                    times = (status.st_atime_ns, status.st_mtime_ns)
            stubs.append(Stub(tuple(os.path.relpath(path, rootfs).split("/")), times))
    return stubs


def _missing(rootfs: str, parts: list[str]) -> Iterator[str]:
    """The missing paths along `parts`."""

    def missing(depth: int) -> bool:
        return not os.path.lexists(beneath(rootfs, "/".join(parts[:depth])))

    # If a directory is missing, so is everything below. Checking each depth would take hours for a
    # deep target.
    first = bisect_left(range(1, len(parts) + 1), True, key=missing) + 1
    path = beneath(rootfs, "/".join(parts[:first]))
    for depth in range(first, len(parts) + 1):
        yield path
        if depth < len(parts):
            path = f"{path}/{parts[depth]}"


def above(stubs: Iterable[Stub]) -> list[tuple[str, ...]]:
    """The stubs that are directories with other stubs below them."""
    stubs = list(stubs)
    inner = {stub.parts[:-1] for stub in stubs}  # all missing parents are stubs too
    return [stub.parts for stub in stubs if stub.parts in inner]


def make_folders(rootfs: str, folders: Iterable[tuple[str, ...]]) -> None:
    """Make directories that a runtime would make with its own mode, outermost first."""
    with _Walk(rootfs) as walk:
        for parts in folders:
            # it exists; or the root is read-only and the runtime reports it
            with suppress(OSError):
                parent = walk.to(parts[:-1])
                os.mkdir(parts[-1], dir_fd=parent)
                os.chmod(parts[-1], 0o755, dir_fd=parent)


def remove_stubs(rootfs: str, stubs: list[Stub]) -> None:
    """Remove the stubs that the runtime made, unless the step put something there.

    The step may have replaced a directory by a link, so links are not followed.
    """
    with _Walk(rootfs) as walk:
        for stub in reversed(stubs):
            with suppress(OSError):
                _remove_stub(walk.to(stub.parts[:-1]), stub)


def _remove_stub(parent: int, stub: Stub) -> None:
    name = stub.parts[-1]
    status = os.stat(name, dir_fd=parent, follow_symlinks=False)
    around = os.stat(parent)
    if stat.S_ISDIR(status.st_mode):
        os.rmdir(name, dir_fd=parent)
    elif stat.S_ISREG(status.st_mode) and status.st_size == 0:
        os.unlink(name, dir_fd=parent)
    else:
        return
    if stub.times is not None:
        # Also backwards: the step may have set an old time.
        changed_since = abs(around.st_mtime_ns - status.st_mtime_ns) > _GRAIN
        kept = (around.st_atime_ns, around.st_mtime_ns) if changed_since else stub.times
        os.utime(parent, ns=kept)


class _Walk:
    """Moves between directories of a root, one component at a time, without following links.

    Starting from the root each time would be quadratic for nested directories.
    """

    def __init__(self, rootfs: str) -> None:
        self._root = os.open(rootfs, _FOLDER & ~os.O_NOFOLLOW)
        self._fd = os.dup(self._root)
        self._parts: list[str] = []
        self._above: list[tuple[int, int]] = []  # device and inode of each directory on the way

    def __enter__(self) -> _Walk:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        os.close(self._fd)
        os.close(self._root)

    def to(self, parts: tuple[str, ...]) -> int:
        """The descriptor of a directory, valid until the next call. Raises OSError."""
        common = 0
        for here, wanted in zip(self._parts, parts, strict=False):
            if here != wanted:
                break
            common += 1
        while len(self._parts) > common:
            self._enter("..")
            self._parts.pop()
            if _identity(self._fd) != self._above.pop():  # it was moved, or copied up
                self._enter_root()
                common = 0
        for part in parts[common:]:
            left = _identity(self._fd)
            self._enter(part)
            self._above.append(left)
            self._parts.append(part)
        return self._fd

    def _enter_root(self) -> None:
        os.close(self._fd)
        self._fd = os.dup(self._root)
        self._parts.clear()
        self._above.clear()

    def _enter(self, name: str) -> None:
        inner = os.open(name, _FOLDER, dir_fd=self._fd)
        os.close(self._fd)
        self._fd = inner


def _identity(fd: int) -> tuple[int, int]:
    status = os.fstat(fd)
    return status.st_dev, status.st_ino

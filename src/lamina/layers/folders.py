"""The directories of a tree that is being filled, by descriptors that no link can redirect."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

from lamina.base.errors import Corrupt
from lamina.layers.stack import Stack, is_whiteout, make_opaque
from lamina.system.clone import clone_tree, copy_metadata
from lamina.system.directory import make_directory
from lamina.system.file_metadata import KERNEL_METADATA

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lamina.system.file_metadata import FileMetadata

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_MAX_OPEN = 256
_MAX_LINKS = 255
_PATH_MAX = 4095

Times = tuple[int, int]


class Folders:
    """Opens directories beneath `root`, and creates those that are missing.

    Args:
        lowers: the directories below `root`, lowest first. A directory missing in `root` is created
            as a copy of the one below, and links below are followed too.
        subject: the name of the archive in messages.
    """

    def __init__(
        self,
        root: str,
        lowers: Sequence[str] = (),
        subject: str = "layer",
        metadata: FileMetadata = KERNEL_METADATA,
    ) -> None:
        self._malformed = f"malformed {subject}"
        self._metadata = metadata
        self._below = Stack(lowers, metadata)
        self._root = os.open(root, _DIRECTORY & ~os.O_NOFOLLOW)
        self._open: dict[str, int] = {}
        self._links: dict[str, str] = {}
        self._implied: dict[str, Times | None] = {}

    def __enter__(self) -> Folders:
        return self

    def __exit__(self, *exception: object) -> None:
        for fd in self._open.values():
            os.close(fd)
        self._open.clear()
        os.close(self._root)

    def open(self, path: str) -> tuple[int, str]:
        """The descriptor of a directory, and its path without links.

        The descriptor is valid until the next call. Raises Corrupt if it is not a directory.
        """
        if not path:
            return self._root, ""
        fd = self._open.get(path)
        if fd is not None:
            return fd, path
        real = self._links.get(path)
        if real is None:
            real = self._resolve(path)
            if real != path:
                self._links[path] = real
        return self._direct(real), real

    def implied(self) -> list[tuple[str, Times | None]]:
        """The directories that were created because they were missing, outermost first.

        With the times to set at the end (ns), if there is such a directory below.
        """
        return list(self._implied.items())

    def forget(self, path: str) -> None:
        """Forget a directory that is removed with its content."""
        prefix = f"{path}/"
        for known in [p for p in self._open if p == path or p.startswith(prefix)]:
            os.close(self._open.pop(known))
        for known in [p for p in self._implied if p == path or p.startswith(prefix)]:
            del self._implied[known]
        self._links.clear()

    def forget_links(self) -> None:
        """Forget cached links, after something was removed that may be a link."""
        self._links.clear()

    def copy_up(self, folder: int, parent: str, name: str) -> bool:
        """Copy a file from below into `folder`. Returns whether there was one."""
        return self.copy_from_below(f"{parent}/{name}" if parent else name, folder, name)

    def copy_from_below(self, path: str, folder: int, name: str) -> bool:
        """Copy a file, link or device from below to a name. Returns whether there was one."""
        found = self._below.find(path)
        if found is None or stat.S_ISDIR(found[1].st_mode):
            return False
        clone_tree(found[0], f"/proc/self/fd/{folder}/{name}")
        return True

    def _resolve(self, path: str) -> str:
        """Follow the links in a path, with this tree as the root of absolute ones."""
        known = path
        while known and known not in self._open:  # open directories were reached without links
            known = known.rpartition("/")[0]
        done = known.split("/") if known else []
        todo = path[len(known) :].split("/")
        links = 0
        while todo:
            part = todo.pop(0)
            if part in ("", "."):
                continue
            if part == "..":
                del done[-1:]  # the root is its own parent, as in a chroot
                continue
            target = self._link_at("/".join(done), part)
            if target is None:
                done.append(part)
                continue
            links += 1
            if links > _MAX_LINKS:
                raise Corrupt(f"{self._malformed}: {path}: too many levels of symbolic links")
            if target.startswith("/"):
                done = []
            todo[:0] = target.split("/")
        return "/".join(done)

    def _link_at(self, parent: str, name: str) -> str | None:
        path = f"{parent}/{name}" if parent else name
        if path in self._open:
            return None
        try:
            return os.readlink(name, dir_fd=self._direct(parent))
        except FileNotFoundError:
            found = self._below.find(path)
            if found is not None and stat.S_ISLNK(found[1].st_mode):
                return os.readlink(found[0])
            return None
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            return None  # it exists and is not a link

    def _direct(self, path: str) -> int:
        """The descriptor of a directory, without following links."""
        if len(path) > _PATH_MAX:
            raise Corrupt(f"{self._malformed}: {path[:80]}…: the path is too long")
        missing: list[str] = []
        above = path
        while above and above not in self._open:
            above, _, name = above.rpartition("/")
            missing.append(name)
        fd = self._open[above] if above else self._root
        while missing:
            name = missing.pop()
            above = f"{above}/{name}" if above else name
            fd = self._enter(fd, above, name)
            self._open[above] = fd
            if len(self._open) > _MAX_OPEN:
                self._close_oldest()
        return fd

    def _enter(self, above: int, path: str, name: str) -> int:
        """Open or create a directory."""
        try:
            return os.open(name, _DIRECTORY, dir_fd=above)
        except FileNotFoundError:
            return self._make(above, path, name, opaque=False)
        except OSError as error:
            if error.errno not in (errno.ENOTDIR, errno.ELOOP):
                raise
        status = os.stat(name, dir_fd=above, follow_symlinks=False)
        if not is_whiteout(status):
            raise Corrupt(
                f"{self._malformed}: an entry lies below {path}, which is not a directory"
            )
        # The layer hides the directory below, and then has a directory there again.
        os.unlink(name, dir_fd=above)
        return self._make(above, path, name, opaque=True)

    def _make(self, above: int, path: str, name: str, *, opaque: bool) -> int:
        found = None if opaque else self._below.find(path)
        if found is not None and not stat.S_ISDIR(found[1].st_mode):
            found = None
        make_directory(name, dir_fd=above)
        fd = os.open(name, _DIRECTORY, dir_fd=above)
        if opaque:
            make_opaque(fd, self._metadata)
        if found is None:
            self._implied[path] = None
        else:
            # Not `/proc/self/fd/{fd}`, which is a link itself: its target would keep its owner.
            copy_metadata(found[0], found[1], f"/proc/self/fd/{above}/{name}")
            for attribute in os.listxattr(fd):
                # The directory below may be opaque.
                if attribute.startswith(self._metadata.overlay_prefix):
                    os.removexattr(fd, attribute)
            self._implied[path] = (found[1].st_atime_ns, found[1].st_mtime_ns)
        return fd

    def _close_oldest(self) -> None:
        """Close the older half of the descriptors; the newest may be in use."""
        for path in list(self._open)[: _MAX_OPEN // 2]:
            os.close(self._open.pop(path))


def clean_path(path: str, subject: str = "layer") -> str:
    """A relative path without `.` parts. Raises Corrupt if it leaves the root, or is longer than
    PATH_MAX."""
    if len(path) > _PATH_MAX:
        raise Corrupt(f"malformed {subject}: {path[:80]}…: the path is too long")
    if "/../" not in f"/{path}/" and "//" not in path and "./" not in path:
        return path.strip("/") if path != "." else ""
    parts: list[str] = []
    for part in path.split("/"):
        if part in ("", "."):
            continue
        if part == "..":
            raise Corrupt(f"malformed {subject}: {path} points outside")
        parts.append(part)
    return "/".join(parts)

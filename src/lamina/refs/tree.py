"""A read view of one file system: lookups that never leave it, and digests of what is in it."""

from __future__ import annotations

import os
import stat
from hashlib import sha256
from typing import TYPE_CHECKING

from lamina.base.digest import Digest, digest_of
from lamina.base.errors import InvalidInput, NotFound
from lamina.refs.filehash import hash_file
from lamina.refs.stat_cache import StatCache

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_MAX_LINKS = 255


class Tree:
    """Files below `root`. Paths in and out are relative, with `/`, without a leading one.

    Args:
        root: the folder that is `/` here.
        excluded: says of a path whether it is to be treated as absent (a `.dockerignore`), and
            of a directory whether everything below is absent too.
        owner: what every file's owner is taken to be (a build context belongs to 0:0), or None
            to keep what the file system says.
        cache: where digests are remembered between runs.
        name: what the client calls the folder, "" if it is none of a client's.
    """

    def __init__(
        self,
        root: str,
        *,
        excluded: Callable[[str, bool], tuple[bool, bool]] | None = None,
        owner: tuple[int, int] | None = None,
        cache: StatCache | None = None,
        name: str = "",
    ) -> None:
        self.root = root
        self.name = name
        self.owner = owner
        self._excluded = excluded
        self._cache = cache or StatCache("")
        self._directories: dict[str, Digest] = {}

    @property
    def filtered(self) -> bool:
        """Whether the folder on disk may hold more than the tree shows."""
        return self._excluded is not None

    def real(self, path: str) -> str:
        """Where a path that was found here is on disk."""
        return f"{self.root}/{path}" if path else self.root

    def lstat(self, path: str) -> os.stat_result | None:
        """What is at a path whose parents are real directories; None if nothing."""
        try:
            status = os.lstat(self.real(path))
        except (FileNotFoundError, NotADirectoryError):
            return None
        if path and self._excluded is not None:
            absent, below = self._excluded(path, stat.S_ISDIR(status.st_mode))
            if absent and (below or not stat.S_ISDIR(status.st_mode)):
                return None
        return status

    def owner_of(self, status: os.stat_result) -> tuple[int, int]:
        return self.owner or (status.st_uid, status.st_gid)

    def resolve(self, path: str, *, follow_last: bool = True) -> str:
        """Follow links as if `root` were `/`, so that none leads out of it.

        Parts that do not exist are kept as they are. Raises InvalidInput on a loop.
        """
        todo = [part for part in path.split("/") if part not in ("", ".")]
        done: list[str] = []
        links = 0
        while todo:
            part = todo.pop(0)
            if part == "..":
                if done:
                    done.pop()
                continue
            done.append(part)
            if not todo and not follow_last:
                break
            here = "/".join(done)
            try:
                target = os.readlink(self.real(here))
            except OSError:
                continue
            links += 1
            if links > _MAX_LINKS:
                raise InvalidInput(f"{path}: too many levels of symbolic links")
            done.pop()
            if target.startswith("/"):
                done = []
            todo[:0] = [piece for piece in target.split("/") if piece not in ("", ".")]
        return "/".join(done)

    def children(self, path: str) -> list[tuple[str, os.stat_result]]:
        """What is in a directory: (name, status), sorted by name's bytes."""
        found: list[tuple[str, os.stat_result]] = []
        excluded = self._excluded
        prefix = f"{path}/" if path else ""
        with os.scandir(self.real(path)) as entries:
            for entry in entries:
                status = entry.stat(follow_symlinks=False)
                if excluded is not None:
                    is_directory = stat.S_ISDIR(status.st_mode)
                    absent, below = excluded(prefix + entry.name, is_directory)
                    if absent and (
                        below or not is_directory or not self._keeps(prefix + entry.name)
                    ):
                        continue
                found.append((entry.name, status))
        found.sort(key=lambda item: os.fsencode(item[0]))
        return found

    def _keeps(self, path: str) -> bool:
        """Whether an excluded directory has something that a later pattern brings back."""
        return bool(self.children(path))

    def walk(self, path: str) -> Iterator[tuple[str, os.stat_result]]:
        """Everything below a directory, parents first, in the order of names."""
        for name, status in self.children(path):
            child = f"{path}/{name}" if path else name
            yield child, status
            if stat.S_ISDIR(status.st_mode):
                yield from self.walk(child)

    def entry_digest(self, path: str, status: os.stat_result) -> Digest:
        """The digest of one entry: metadata and, for a file, content."""
        if not path and self.name:
            return digest_of(b"")  # no client tells of the root of a folder
        known = self._cache.get(path, status)
        if known is not None:
            return Digest(known)
        digest = hash_file(self.real(path), status, self.owner_of(status))
        self._cache.put(path, status, digest)
        return digest

    def digest(self, path: str, status: os.stat_result) -> Digest:
        """The digest of an entry and, for a directory, of all that is below it."""
        if not stat.S_ISDIR(status.st_mode):
            return self.entry_digest(path, status)
        known = self._directories.get(path)
        if known is not None:
            return known
        parts = [b"\0", self.entry_digest(path, status).encode()]
        prefix = f"{path}/" if path else ""
        cached = self._cache.get
        for name, child_status in self.children(path):
            child = prefix + name
            if stat.S_ISDIR(child_status.st_mode):
                child_digest: str = self.digest(child, child_status)
            else:
                child_digest = cached(child, child_status) or self.entry_digest(child, child_status)
            parts.append(b"\0" + os.fsencode(name))
            parts.append(child_digest.encode())
        digest = Digest("sha256:" + sha256(b"".join(parts)).hexdigest())
        self._directories[path] = digest
        return digest

    def save_digests(self) -> None:
        """Keep what was learnt about files for the next build."""
        self._cache.save()

    def find(self, path: str, *, follow: bool) -> tuple[str, os.stat_result]:
        """The resolved path and what is there. Raises NotFound."""
        resolved = self.resolve(path, follow_last=follow)
        status = self.lstat(resolved)
        if status is None:
            raise NotFound(f'"/{path.strip("/")}": not found')
        return resolved, status

"""A read-only view of a file system: lookups that never leave it, and digests of its content."""

from __future__ import annotations

import os
import stat
from hashlib import sha256
from typing import TYPE_CHECKING

from lamina.base.digest import Digest, digest_of
from lamina.base.errors import InvalidInput, NotFound
from lamina.refs.filehash import GONE, hash_file, read_xattrs
from lamina.refs.stat_cache import StatCache
from lamina.system.file_metadata import KERNEL_METADATA

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lamina.refs.filehash import Xattrs
    from lamina.system.file_metadata import FileMetadata

_MAX_LINKS = 255


class Tree:
    """Files below `root`. All paths are relative, without a leading `/`.

    Args:
        root: the directory that is the root.
        excluded: whether a path is treated as absent (by a `.dockerignore`), and whether everything
            below a directory is.
        owner: the owner that all files are treated as having (0:0 for a build context); None for
            the owners on disk.
        cache: cached digests of files.
        name: the client's name of the directory, "" if it is not a client's.
        live: the files can change meanwhile: read them through a `LiveTree`.
        metadata: how the files have their metadata.
        revision: a tree with the same revision has the same files; "" if it is not known.
    """

    def __init__(
        self,
        root: str,
        *,
        excluded: Callable[[str, bool], tuple[bool, bool]] | None = None,
        owner: tuple[int, int] | None = None,
        cache: StatCache | None = None,
        name: str = "",
        live: bool = False,
        metadata: FileMetadata = KERNEL_METADATA,
        revision: str = "",
    ) -> None:
        self.live = live
        self.metadata = metadata
        self.revision = revision
        self.root = root
        self.name = name
        self.owner = owner
        self._excluded = excluded
        self._cache = cache or StatCache("")
        self._directories: dict[str, Digest] = {}

    @property
    def filtered(self) -> bool:
        """Whether the directory on disk can contain more than the tree."""
        return self._excluded is not None

    def real(self, path: str) -> str:
        """The path on disk of a path in this tree."""
        return f"{self.root}/{path}" if path else self.root

    def lstat(self, path: str) -> os.stat_result | None:
        """The status of a path whose parents are real directories; None if it does not exist."""
        real = self.real(path)
        try:
            status = self.metadata.status(real, os.lstat(real))
        except (FileNotFoundError, NotADirectoryError):
            return None
        if path and self._excluded is not None:
            is_directory = stat.S_ISDIR(status.st_mode)
            absent, below = self._excluded(path, is_directory)
            if absent and (below or not is_directory or not self._keeps(path)):
                return None
        return status

    def readlink(self, path: str) -> str | None:
        """The target of the symbolic link at a path; None if there is none."""
        try:
            return os.readlink(self.real(path))
        except OSError:
            return None

    def owner_of(self, status: os.stat_result) -> tuple[int, int]:
        return self.owner or (status.st_uid, status.st_gid)

    def resolve(self, path: str, *, follow_last: bool = True) -> str:
        """Follow links with `root` as `/`, so that none leads out of it.

        Parts that do not exist are kept. Raises InvalidInput on a loop, and NotFound where a link
        on the way is excluded: an absent link leads nowhere.
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
            target = self.readlink(here)
            if target is None:
                continue
            if self._excluded is not None and self._excluded(here, False)[0]:
                raise NotFound(f'"/{path.strip("/")}": not found')
            links += 1
            if links > _MAX_LINKS:
                raise InvalidInput(f"{path}: too many levels of symbolic links")
            done.pop()
            if target.startswith("/"):
                done = []
            todo[:0] = [piece for piece in target.split("/") if piece not in ("", ".")]
        return "/".join(done)

    def children(self, path: str) -> list[tuple[str, os.stat_result]]:
        """The entries of a directory: (name, status), sorted by the bytes of names."""
        found: list[tuple[str, os.stat_result]] = []
        excluded = self._excluded
        prefix = f"{path}/" if path else ""
        for entry in self._entries(path):
            try:
                status = self.metadata.status(entry.path, entry.stat(follow_symlinks=False))
            except FileNotFoundError:
                continue  # it was removed meanwhile: this is a client's directory
            if excluded is not None:
                is_directory = stat.S_ISDIR(status.st_mode)
                absent, below = excluded(prefix + entry.name, is_directory)
                if absent and (below or not is_directory or not self._keeps(prefix + entry.name)):
                    continue
            found.append((entry.name, status))
        found.sort(key=lambda item: os.fsencode(item[0]))
        return found

    def _entries(self, path: str) -> list[os.DirEntry[str]]:
        """The entries of a directory, in no order. A client may have removed it meanwhile."""
        try:
            with os.scandir(self.real(path)) as entries:
                return list(entries)
        except OSError as error:
            if not self.live or error.errno not in GONE:
                raise
            return []

    def _keeps(self, path: str) -> bool:
        """Whether a later pattern includes something in an excluded directory."""
        excluded = self._excluded
        assert excluded is not None
        todo = [path]
        while todo:
            at = todo.pop()
            for entry in self._entries(at):
                child = f"{at}/{entry.name}"
                is_directory = entry.is_dir(follow_symlinks=False)
                absent, below = excluded(child, is_directory)
                if not absent:
                    return True
                if is_directory and not below:
                    todo.append(child)
        return False

    def walk(self, path: str) -> Iterator[tuple[str, os.stat_result]]:
        """All entries below a directory, parents first, in the order of names."""
        levels = [(path, iter(self.children(path)))]
        while levels:
            above, children = levels[-1]
            name, status = next(children, ("", None))
            if status is None:
                levels.pop()
                continue
            child = f"{above}/{name}" if above else name
            yield child, status
            if stat.S_ISDIR(status.st_mode):
                levels.append((child, iter(self.children(child))))

    def xattrs(self, path: str, status: os.stat_result) -> Xattrs:
        """The extended attributes that are part of the digest of an entry."""
        return read_xattrs(self.real(path), status.st_mode, self.metadata)

    def entry_digest(self, path: str, status: os.stat_result) -> Digest:
        """The digest of an entry: metadata and, for a file, content.

        An entry of a client's directory that does not exist any more gets a random digest, so that
        copying it fails.
        """
        if not path and self.name:
            return digest_of(b"")  # clients send no entry for the root of a directory
        known = self._cache.get(path, status)
        if known is not None:
            return Digest(known)
        link = self.readlink(path) if stat.S_ISLNK(status.st_mode) else ""
        real = self.real(path)
        try:
            digest, steady = hash_file(
                real, status, self.owner_of(status), link or "", self.metadata
            )
        except OSError as error:
            if not self.live or error.errno not in GONE:
                raise
            return digest_of(os.urandom(32))
        if steady:
            self._cache.put(path, status, digest)
        return digest

    def digest(self, path: str, status: os.stat_result) -> Digest:
        """The digest of an entry and, for a directory, of everything below it."""
        if not stat.S_ISDIR(status.st_mode):
            return self.entry_digest(path, status)
        levels: list[_Hashed] = []
        while path not in self._directories:
            if not levels:
                levels.append(_Hashed(path, status, self))
            level = levels[-1]
            if self._add_children(level, levels):
                done = Digest("sha256:" + sha256(b"".join(level.parts)).hexdigest())
                self._directories[level.path] = done
                levels.pop()
                if levels:
                    levels[-1].parts.append(done.encode())
        return self._directories[path]

    def _add_children(self, level: _Hashed, levels: list[_Hashed]) -> bool:
        """Hash the children of a directory. False at a child that is a directory: its level was
        pushed."""
        prefix = f"{level.path}/" if level.path else ""
        cached = self._cache.get
        for name, status in level.children:
            child = prefix + name
            level.parts.append(b"\0" + os.fsencode(name))
            if stat.S_ISDIR(status.st_mode):
                known = self._directories.get(child)
                if known is None:
                    levels.append(_Hashed(child, status, self))
                    return False
                level.parts.append(known.encode())
                continue
            digest = cached(child, status) or self.entry_digest(child, status)
            level.parts.append(digest.encode())
        return True

    def save_digests(self) -> None:
        """Save the digests of files for the next build."""
        self._cache.save()

    def find(self, path: str, *, follow: bool) -> tuple[str, os.stat_result]:
        """The resolved path and what is there. Raises NotFound."""
        resolved = self.resolve(path, follow_last=follow)
        status = self.lstat(resolved)
        if status is None:
            raise NotFound(f'"/{path.strip("/")}": not found')
        return resolved, status


class _Hashed:
    """A directory whose digest is being computed: the hash so far, and the entries left."""

    __slots__ = ("children", "parts", "path")

    def __init__(self, path: str, status: os.stat_result, tree: Tree) -> None:
        self.path = path
        self.parts = [b"\0", tree.entry_digest(path, status).encode()]
        self.children = iter(tree.children(path))

"""The changes that a file op makes to a base tree, as data.

The result of a COPY on which no command runs is packed from the sources directly. One that is
needed on disk is laid out from the same plan.
"""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput
from lamina.base.named_tuple import NamedTuple
from lamina.refs.reading import Reading

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from lamina.refs.filehash import Xattrs
    from lamina.refs.tree import Tree

_MAX_LINKS = 255


class PlannedFile(NamedTuple):
    """A planned entry. `mode` includes the type bits, as `st_mode`.

    The content of a regular file is `data`, or is read from `source`, a path on disk. If that is in
    a client's directory, `digest` is the digest that the cache key was made of. `hard_link` is the
    path in the plan of the entry that this is a hard link to.
    """

    mode: int
    uid: int
    gid: int
    mtime_ns: int
    size: int = 0
    link: str = ""
    rdev: int = 0
    xattrs: Xattrs = ()
    source: str = ""
    data: bytes | None = None
    digest: str = ""
    hard_link: str = ""

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(self.mode)

    def linked(self, first: str) -> PlannedFile:
        """This entry as a hard link to the one at `first`."""
        return self._replace(hard_link=first, source="", size=0, digest="")


class FilePlan:
    """Changes on top of `base` (None: empty). Paths are relative, without a leading `/`.

    `entries` are added or replaced, parents before children; `removed` are hidden paths of the
    base; `opaque` are new directories that hide a directory of the base. `reading` is the attempt
    at reading clients' directories.
    """

    def __init__(self, base: Tree | None, reading: Reading | None = None) -> None:
        self.base = base
        self.reading = reading or Reading()
        self.entries: dict[str, PlannedFile] = {}
        self.removed: set[str] = set()
        self.opaque: set[str] = set()

    def copy(self) -> FilePlan:
        """An independent plan with the same changes."""
        plan = FilePlan(self.base, self.reading)
        plan.entries = dict(self.entries)
        plan.removed = set(self.removed)
        plan.opaque = set(self.opaque)
        return plan

    def lookup(self, path: str) -> PlannedFile | None:
        """The status of a path after the changes so far, without following links."""
        found = self.entries.get(path)
        if found is not None:
            return found
        status = self._base_status(path)
        return None if status is None else _from_status(status)

    def resolve(self, path: str, *, follow_last: bool = True) -> str:
        """Follow links in the planned tree; see `Tree.resolve`."""
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
            target = self._link_at("/".join(done))
            if target is None:
                continue
            links += 1
            if links > _MAX_LINKS:
                raise InvalidInput(f"{path}: too many levels of symbolic links")
            done.pop()
            if target.startswith("/"):
                done = []
            todo[:0] = [piece for piece in target.split("/") if piece not in ("", ".")]
        return "/".join(done)

    def put(self, path: str, entry: PlannedFile) -> None:
        """Add or replace an entry whose parent is a directory.

        If both are directories only the metadata changes.
        """
        existing = self.lookup(path)
        if existing is not None and existing.is_directory and not entry.is_directory:
            self._forget_below(path)
        if entry.is_directory and existing is not None and not existing.is_directory:
            self.entries.pop(path, None)  # so that the new directory comes before its content
            if self._base_status(path) is not None:
                self.opaque.add(path)
        if path in self.removed:
            self.removed.discard(path)
            if entry.is_directory:
                self.opaque.add(path)
        self.entries[path] = entry

    def remove(self, path: str) -> None:
        """Remove an entry and everything below it, if it exists."""
        self._forget_below(path)
        self.entries.pop(path, None)
        self.opaque.discard(path)
        if self._base_status(path) is not None:
            self.removed.add(path)

    def make_directories(self, path: str, template: PlannedFile) -> None:
        """Create a (resolved) directory and its parents if they are missing.

        Raises InvalidInput if one of them is not a directory.
        """
        missing = []
        while path:
            existing = self.lookup(path)
            if existing is not None:
                if not existing.is_directory:
                    raise InvalidInput(f"/{path} is not a directory")
                break
            missing.append(path)
            path = path.rpartition("/")[0]
        for path in reversed(missing):
            self.put(path, template)

    def names_below(self, path: str) -> set[str]:
        """The names in a directory of the planned tree."""
        prefix = f"{path}/" if path else ""
        names = {
            entry[len(prefix) :].partition("/")[0]
            for entry in self.entries
            if entry.startswith(prefix)
        }
        names.discard("")
        status = self._base_status(path)
        if status is not None and self.base is not None and stat.S_ISDIR(status.st_mode):
            names.update(
                name
                for name, _ in self.base.children(path)
                if self._base_status(prefix + name) is not None
            )
        return names

    def hidden(self) -> set[str]:
        """The outermost paths of the base that are hidden."""
        gone = set(self.removed)
        replaced = list(self.opaque)
        while replaced:
            path = replaced.pop()
            status = self.base.lstat(path) if self.base is not None else None
            if self.base is None or status is None or not stat.S_ISDIR(status.st_mode):
                continue
            for name, below in self.base.children(path):
                child = f"{path}/{name}"
                entry = self.entries.get(child)
                if entry is None:
                    gone.add(child)
                elif entry.is_directory and stat.S_ISDIR(below.st_mode):
                    replaced.append(child)
        return gone

    def in_order(self) -> Iterator[tuple[str, PlannedFile]]:
        """All entries and their parents in the base, parents first, by the bytes of names."""
        wanted = dict(self.entries)
        for path in (*self.entries, *self.removed):
            parent = path.rpartition("/")[0]
            while parent and parent not in wanted:
                status = self._base_status(parent)
                if status is not None:
                    wanted[parent] = self._base_entry(parent, status)
                parent = parent.rpartition("/")[0]
        for path in sorted(wanted, key=lambda item: item.split("/")):
            yield path, wanted[path]

    def _base_entry(self, path: str, status: os.stat_result) -> PlannedFile:
        assert self.base is not None
        return _from_status(status)._replace(xattrs=self.base.xattrs(path, status))

    def _base_status(self, path: str) -> os.stat_result | None:
        """The status of a path in the base, unless the plan hides it."""
        if self.base is None:
            return None
        at = path
        while True:
            if at in self.removed:
                return None
            if at != path:
                if at in self.opaque:
                    return None
                above = self.entries.get(at)
                if above is not None and not above.is_directory:
                    return None
            if not at:
                break
            at = at.rpartition("/")[0]
        return self.base.lstat(path)

    def _link_at(self, path: str) -> str | None:
        entry = self.entries.get(path)
        if entry is not None:
            return entry.link if stat.S_ISLNK(entry.mode) else None
        status = self._base_status(path)
        if status is None or not stat.S_ISLNK(status.st_mode) or self.base is None:
            return None
        import os

        return os.readlink(self.base.real(path))

    def _forget_below(self, path: str) -> None:
        prefix = f"{path}/"
        for name in [name for name in self.entries if name.startswith(prefix)]:
            del self.entries[name]
        for names in (self.removed, self.opaque):
            names.difference_update([name for name in names if name.startswith(prefix)])


def plan_entry(
    tree: Tree, path: str, status: os.stat_result, reading: Reading
) -> PlannedFile | None:
    """A copy of the entry of a tree at `path`; None if it does not exist any more.

    In a client's directory, a regular file gets the digest that the cache key was made of, and
    other entries are compared with it now. Raises SourceChanged unless `reading` tolerates that.
    """
    from lamina.refs.filehash import header_hash

    real = tree.real(path)
    owner = tree.owner_of(status)
    xattrs = tree.xattrs(path, status)
    planned = PlannedFile(status.st_mode, *owner, status.st_mtime_ns, xattrs=xattrs)
    kind = stat.S_IFMT(status.st_mode)
    if kind == stat.S_IFREG:
        digest = tree.entry_digest(path, status) if tree.live else ""
        return planned._replace(size=status.st_size, source=real, digest=digest)
    link = ""
    if kind == stat.S_IFLNK:
        found = tree.readlink(path)
        if found is None:
            reading.differs(real)
            return None
        link = found
    if tree.live and path:
        header = header_hash(status, link=link, xattrs=xattrs, owner=owner)
        if f"sha256:{header.hexdigest()}" != tree.entry_digest(path, status):
            reading.differs(real)
    if kind == stat.S_IFSOCK and tree.owner is not None:
        # BuildKit's client sends a socket as an empty file.
        return planned._replace(mode=stat.S_IFREG | stat.S_IMODE(status.st_mode), data=b"")
    return planned._replace(link=link, rdev=status.st_rdev)


def _from_status(status: os.stat_result) -> PlannedFile:
    return PlannedFile(
        status.st_mode,
        status.st_uid,
        status.st_gid,
        status.st_mtime_ns,
        size=status.st_size,
        rdev=status.st_rdev,
    )

"""The final file system of an image, from the entries of its layers."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from lamina.base.errors import Corrupt
from lamina.imagediff.files import IMPLIED, WHITEOUT_FILE
from lamina.layers.entry import OPAQUE, WHITEOUT

if TYPE_CHECKING:
    from lamina.imagediff.files import File
    from lamina.imagediff.layer import LayerFiles
    from lamina.system.cancel import Cancellation

_MAX_LINKS = 255
_MAX_DEPTH = 2048


class Inode:
    """A file in a tree. All hard links to a file share one. `layer` is the number of the layer that
    it comes from, 0 for the root of an empty image. Changed only by `FileTree`."""

    __slots__ = ("children", "file", "layer")

    def __init__(self, file: File, layer: int) -> None:
        self.file = file
        self.layer = layer
        self.children: dict[str, Inode] | None = {} if file.kind == stat.S_IFDIR else None


class FileTree:
    """Layers applied on each other, with the rules of `lamina.layers.apply`: the parents of entries
    are resolved with the tree as their root, and a whiteout hides files of lower layers, at any
    position in its layer."""

    def __init__(self) -> None:
        self._root = Inode(IMPLIED, 0)
        self._number = 0
        self._linked: set[tuple[Inode, str]] = set()
        self._known: dict[str, Inode] = {}

    def apply(self, layer: LayerFiles, number: int, cancel: Cancellation) -> None:
        """Apply a layer. Raises Corrupt for the same layers as unpacking, Cancelled."""
        self._number = number
        self._linked.clear()
        self._known.clear()
        for path, file in layer.entries:
            cancel.check()
            if not path:
                if file.kind != stat.S_IFDIR:
                    raise Corrupt("malformed layer: its root is not a directory")
                self._root.file, self._root.layer = file, number
                continue
            parent, _, name = path.rpartition("/")
            folder = self._directory(parent)
            if file is WHITEOUT_FILE:
                self._white_out(folder, name)
            else:
                self._add(folder, path, name, file)

    def inodes(self) -> dict[str, Inode]:
        """Every path of the tree, "" for its root."""
        found = {"": self._root}
        waiting = [("", self._root)]
        while waiting:
            path, folder = waiting.pop()
            prefix = f"{path}/" if path else ""
            for name, inode in (folder.children or {}).items():
                place = prefix + name
                found[place] = inode
                if inode.children is not None:
                    waiting.append((place, inode))
        return found

    def _add(self, folder: Inode, path: str, name: str, file: File) -> None:
        children = folder.children
        assert children is not None
        there = children.get(name)
        if file.hard_link:
            target = self._link_target(path, file.hard_link)
            if target is there:
                if file.hard_link == path:
                    raise Corrupt(f"malformed layer: {path} is a hard link to itself")
                self._linked.add((folder, name))
                return
            self._forget(there)
            children[name] = target
            self._linked.add((folder, name))
        elif there is not None and there.children is not None and file.kind == stat.S_IFDIR:
            there.file, there.layer = file, self._number
        else:
            self._forget(there)
            children[name] = Inode(file, self._number)

    def _link_target(self, path: str, target: str) -> Inode:
        parent, _, name = target.rpartition("/")
        folder = self._directory(parent)
        inode = (folder.children or {}).get(name)
        if inode is None:
            raise Corrupt(f"malformed layer: {path} is a hard link to {target}, which is missing")
        if inode.children is not None:
            raise Corrupt(f"malformed layer: {path} is a hard link to no file")
        return inode

    def _white_out(self, folder: Inode, name: str) -> None:
        children = folder.children
        assert children is not None
        if name == OPAQUE:
            self._hide_content(folder)
            return
        hidden = name[len(WHITEOUT) :]
        there = children.get(hidden)
        if there is None:
            return
        if there.children is not None:
            self._hide_content(there)
        if not self._is_kept(folder, hidden, there):
            self._forget(there)
            del children[hidden]

    def _hide_content(self, top: Inode) -> None:
        """Remove the files of lower layers from a directory."""
        folders = [top]
        for folder in folders:
            folders += [c for c in (folder.children or {}).values() if c.children is not None]
        for folder in reversed(folders):
            children = folder.children or {}
            for name in [n for n, c in children.items() if not self._is_kept(folder, n, c)]:
                del children[name]
        self._known.clear()

    def _is_kept(self, folder: Inode, name: str, inode: Inode) -> bool:
        """Whether this layer has an entry there, or below in a directory whose content of lower
        layers has been removed."""
        return inode.layer == self._number or bool(inode.children) or (folder, name) in self._linked

    def _forget(self, inode: Inode | None) -> None:
        """Forget known parents, if one of them may be removed or be reached through `inode`."""
        if inode is not None and inode.file.kind in (stat.S_IFDIR, stat.S_IFLNK):
            self._known.clear()

    def _directory(self, path: str) -> Inode:
        """The directory at a path, made if it is missing. Links are followed."""
        if not path:
            return self._root
        known = self._known.get(path)
        if known is None:
            known = self._known[path] = self._resolved(path)
        return known

    def _resolved(self, path: str) -> Inode:
        chain = [self._root]
        todo = path.split("/")[::-1]
        links = 0
        while todo:
            part = todo.pop()
            if part in ("", "."):
                continue
            if part == "..":
                if len(chain) > 1:
                    chain.pop()
                continue
            children = chain[-1].children
            assert children is not None
            inode = children.get(part)
            if inode is None:
                inode = children[part] = Inode(IMPLIED, self._number)
            if inode.file.kind == stat.S_IFLNK:
                links += 1
                if links > _MAX_LINKS:
                    raise Corrupt(f"malformed layer: {path}: too many levels of symbolic links")
                target = inode.file.target
                if target.startswith("/"):
                    chain = [self._root]
                todo.extend(target.split("/")[::-1])
                continue
            if inode.children is None and not self._is_kept(chain[-1], part, inode):
                # The directory of this layer hides a file of a lower one, as with overlayfs.
                inode = children[part] = Inode(IMPLIED, self._number)
            if inode.children is None:
                raise Corrupt(
                    f"malformed layer: an entry lies below {path}, of which {part} is not a"
                    " directory"
                )
            chain.append(inode)
            if len(chain) > _MAX_DEPTH:
                raise Corrupt(f"malformed layer: {path[:80]}…: the path is too long")
        return chain[-1]

"""Manifests of the content that steps read: which files, with digests, modes and owners.

A manifest is a tree of nodes, one for each directory, which are shared by all manifests. So the
manifests of two versions of a directory take little more space than one of them, and comparing them
only reads what differs.
"""

from __future__ import annotations

import json
from contextlib import suppress
from hashlib import sha256
from typing import TYPE_CHECKING

from lamina.base.errors import Corrupt
from lamina.base.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from lamina.stores.database import Database

_LEVEL = 1
_NODE_LIMIT = 256 << 20  # bytes of a node, unpacked


class ContentEntry(NamedTuple):
    """One file, directory, link or device. `name` is its path for callers, its last part in a node.

    `kind` is the first character that `ls -l` shows. `mode` are the permission bits. `digest` is of
    the metadata and the content, as in cache keys; "" for a directory that the step only passed
    through. `link` is the target of a symbolic link. `below` is the node of a directory.
    """

    name: str
    kind: str = "-"
    mode: int = 0
    uid: int = 0
    gid: int = 0
    size: int = 0
    digest: str = ""
    link: str = ""
    below: str = ""


class ContentTable:
    """Manifests by the digest of the content. Thread-safe."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def has(self, content: str) -> bool:
        return self._database.row("SELECT 1 FROM contents WHERE digest = ?", content) is not None

    def root(self, content: str) -> str:
        """The top node of a manifest, "" if there is none."""
        row = self._database.row("SELECT root FROM contents WHERE digest = ?", content)
        return "" if row is None else str(row[0])

    def save(self, content: str, entries: Iterable[ContentEntry]) -> None:
        """Store a manifest of entries with full paths, in any order. Raises Exhausted."""
        nodes: dict[str, bytes] = {}
        root = _build(entries, nodes)
        with self._database.write() as connection:
            connection.executemany(
                "INSERT OR IGNORE INTO content_nodes (digest, data) VALUES (?, ?)", nodes.items()
            )
            connection.execute(
                "INSERT OR IGNORE INTO contents (digest, root) VALUES (?, ?)", (content, root)
            )

    def node(self, digest: str) -> list[ContentEntry]:
        """The entries of a directory, sorted by name; none of "". Raises Corrupt."""
        return unpack_node(digest, self.packed(digest)) if digest else []

    def packed(self, digest: str) -> bytes:
        """A node as it is stored, for `unpack_node`. Raises Corrupt."""
        row = self._database.row("SELECT data FROM content_nodes WHERE digest = ?", digest)
        if row is None:
            raise Corrupt(f"the manifest node {digest} is missing in the store")
        return bytes(row[0])

    def entries(self, content: str) -> Iterator[ContentEntry]:
        """All entries of a manifest with full paths, parents first. Raises Corrupt."""
        stack = [("", self.root(content))]
        while stack:
            prefix, digest = stack.pop()
            for entry in self.node(digest):
                path = prefix + entry.name
                yield entry._replace(name=path)
                if entry.below:
                    stack.append((f"{path}/", entry.below))

    def sweep(self) -> None:
        """Delete manifests that no record of a build refers to. No build may run.

        Nodes are only looked at if a manifest was deleted: a daemon does this after builds.
        """
        with self._database.write() as connection:
            deleted = connection.execute(
                "DELETE FROM contents WHERE NOT EXISTS (SELECT 1 FROM build_contents"
                " WHERE build_contents.digest = contents.digest)"
            )
            if not deleted.rowcount:
                return
            needed: set[str] = set()
            wanted = [row[0] for row in connection.execute("SELECT root FROM contents")]
            while wanted:
                digest = wanted.pop()
                if digest and digest not in needed:
                    needed.add(digest)
                    with suppress(Corrupt):  # a damaged node costs explanations, not the rest
                        wanted += [entry.below for entry in self.node(digest) if entry.below]
            known = [row[0] for row in connection.execute("SELECT digest FROM content_nodes")]
            connection.executemany(
                "DELETE FROM content_nodes WHERE digest = ?",
                [(digest,) for digest in known if digest not in needed],
            )


def unpack_node(digest: str, packed: bytes) -> list[ContentEntry]:
    """The entries of a directory, sorted by name. Raises Corrupt."""
    import zlib

    try:
        data = zlib.decompressobj().decompress(packed, _NODE_LIMIT)
        return [ContentEntry(*entry) for entry in json.loads(data)]
    except (zlib.error, ValueError, TypeError) as error:
        raise Corrupt(f"the manifest node {digest} is damaged: {error}") from None


class _Folder:
    __slots__ = ("entries", "folders")

    def __init__(self) -> None:
        self.entries: dict[str, ContentEntry] = {}
        self.folders: dict[str, _Folder] = {}


def _build(entries: Iterable[ContentEntry], nodes: dict[str, bytes]) -> str:
    """Add the nodes of a manifest to `nodes`, packed. Returns the digest of the top one."""
    top = _Folder()
    for entry in entries:
        folder = top
        *above, name = entry.name.split("/")
        for part in above:
            folder = _below(folder, part)
        if name:
            folder.entries[name] = entry._replace(name=name)
    # Children are packed before their parents; paths are deeper than Python's stack.
    order = [top]
    for folder in order:
        order += folder.folders.values()
    digests: dict[int, str] = {}
    for folder in reversed(order):
        for name, child in folder.folders.items():
            entry = folder.entries.get(name, ContentEntry(name, "d"))
            folder.entries[name] = entry._replace(below=digests[id(child)])
        digests[id(folder)] = _pack(
            [folder.entries[name] for name in sorted(folder.entries)], nodes
        )
    return digests[id(top)]


def _below(folder: _Folder, name: str) -> _Folder:
    child = folder.folders.get(name)
    if child is None:
        child = folder.folders[name] = _Folder()
    return child


def _pack(entries: Sequence[ContentEntry], nodes: dict[str, bytes]) -> str:
    import zlib  # a cached build writes no manifest

    data = json.dumps([list(entry) for entry in entries]).encode()
    digest = sha256(data).hexdigest()
    if digest not in nodes:
        nodes[digest] = zlib.compress(data, _LEVEL)
    return digest

"""Sends file outputs to the client. The output's number is its destination."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from lamina.api import filemode
from lamina.api.filesync import Stat
from lamina.base.errors import AlreadyExists, Unsupported
from lamina.exporters.local_receiver import copying
from lamina.records.outputs import wire_metadata
from lamina.session.folder_sender import opener_of
from lamina.session.walk import walk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from lamina.exporters.contract import AddedFile, Artifact, BlobReader, ExportedTree, Shown
    from lamina.exporters.destination import ArchiveOutput, LocalOutput, TarOutput
    from lamina.exporters.file_sink import ByteSink
    from lamina.session.remote_session import RemoteSession
    from lamina.system.cancel import Cancellation

_FOLDER = filemode.DIRECTORY | 0o755
_PRIVATE = 0o600
_LAYOUT = "export"
_PIECE = 1 << 20
_SECOND = 1_000_000_000


class SessionReceiver:
    """Implements `lamina.exporters.contract.Receiver`."""

    def __init__(self, session: RemoteSession, cancel: Cancellation) -> None:
        self._session = session
        self._cancel = cancel

    @contextmanager
    def file(
        self, output: ArchiveOutput | TarOutput, metadata: Mapping[str, Any], /
    ) -> Iterator[ByteSink]:
        # A client that already has the file reports so, and it is not sent.
        with (
            suppress(AlreadyExists),
            self._session.open_file(
                int(output.dest), wire_metadata(metadata).items(), self._cancel
            ) as sink,
        ):
            yield sink

    def layout(
        self, output: ArchiveOutput, artifact: Artifact, blobs: BlobReader, cancel: Cancellation, /
    ) -> None:
        """Write to the client's content store for the layout. The client writes the index."""
        store = self._session.content(_LAYOUT)
        for layer in artifact.layers():
            with blobs.open(layer.digest) as file:
                pieces = iter(partial(file.read, _PIECE), b"")
                store.write(layer.digest, layer.size, pieces, cancel)
        for document in artifact.documents:
            descriptor = document.descriptor
            store.write(descriptor.digest, descriptor.size, (document.data,), cancel)

    def folder(
        self,
        output: LocalOutput,
        trees: Sequence[ExportedTree],
        show: Shown,
        cancel: Cancellation,
        /,
    ) -> None:
        number = int(output.dest)
        if not output.delete or len(trees) == 1:
            for tree in trees:
                with show(copying(tree.platform)) as progress:
                    self._send(number, (tree,), progress, cancel)
            return
        if not all(tree.name for tree in trees):
            raise Unsupported("mode=delete with several platforms in one directory")
        # One transfer for all: with mode=delete each would remove the files of the others.
        ordered = sorted(trees, key=lambda tree: os.fsencode(tree.name))
        with show(copying("")) as progress:
            self._send(number, ordered, progress, cancel)

    def _send(
        self,
        number: int,
        trees: Sequence[ExportedTree],
        progress: Callable[[int], None],
        cancel: Cancellation,
    ) -> None:
        named = {tree.name: tree for tree in trees}

        def open_file(path: str) -> int:
            name, _, rest = ("", "", path) if "" in named else path.partition("/")
            for added in named[name].added:
                if added.name == rest:
                    return _in_memory(added)
            root = named[name].root
            if root is None:
                raise FileNotFoundError(path)
            return opener_of(root)(rest)

        self._session.send_folder(number, _stats(trees), open_file, progress, cancel)


def _in_memory(added: AddedFile) -> int:
    fd = os.memfd_create(added.name)
    with open(fd, "wb", closefd=False) as file:
        file.write(added.data)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def _tree_stats(tree: ExportedTree) -> Iterator[Stat]:
    """The files of a tree and those that are added to it, in order."""
    added = sorted(tree.added, key=lambda file: os.fsencode(file.name))
    hidden = {file.name for file in added}
    for stat in walk(tree.root, metadata=tree.metadata) if tree.root is not None else ():
        top, below, _ = stat.path.partition("/")
        while not below and added and os.fsencode(added[0].name) < os.fsencode(top):
            yield _added_stat(added.pop(0))
        if top not in hidden:
            yield stat
    yield from map(_added_stat, added)


def _added_stat(added: AddedFile) -> Stat:
    return Stat(added.name, _PRIVATE, size=len(added.data), mod_time=time.time_ns())


def _stats(trees: Sequence[ExportedTree]) -> Iterator[Stat]:
    """All files in order, each tree in its directory.

    A directory has the time of its tree, if the tree has one.
    """
    for tree in trees:
        moment = None if tree.epoch is None else tree.epoch * _SECOND
        prefix = f"{tree.name}/" if tree.name else ""
        if prefix:
            yield Stat(tree.name, _FOLDER, mod_time=moment or 0)
        for stat in _tree_stats(tree):
            linkname = stat.linkname
            if linkname and not stat.mode & filemode.SYMLINK:
                linkname = prefix + linkname
            yield stat._replace(
                path=prefix + stat.path,
                linkname=linkname,
                mod_time=stat.mod_time if moment is None else moment,
            )

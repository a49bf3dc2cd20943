"""Outputs that are files, at the client who asked for them: `dest` is the output's number."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from lamina.api import filemode
from lamina.api.filesync import Stat
from lamina.base.errors import Unsupported
from lamina.session.sender import opener_of
from lamina.session.walk import walk

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

    from lamina.exporters.contract import ExportedTree
    from lamina.exporters.destination import ArchiveOutput, LocalOutput, TarOutput
    from lamina.exporters.file_sink import ByteSink
    from lamina.session.borrowed import BorrowedSession
    from lamina.system.cancel import Cancellation

_FOLDER = filemode.DIRECTORY | 0o755
_SECOND = 1_000_000_000


class SessionReceiver:
    """Implements `lamina.exporters.contract.Receiver`."""

    def __init__(self, session: BorrowedSession, cancel: Cancellation) -> None:
        self._session = session
        self._cancel = cancel

    def file(self, output: ArchiveOutput | TarOutput, /) -> AbstractContextManager[ByteSink]:
        return self._session.open_file(int(output.dest), (), self._cancel)

    def folder(
        self, output: LocalOutput, trees: Sequence[ExportedTree], cancel: Cancellation, /
    ) -> None:
        number = int(output.dest)
        if all(tree.name for tree in trees) or len(trees) == 1:
            self._send(
                number, output, sorted(trees, key=lambda tree: os.fsencode(tree.name)), cancel
            )
            return
        if output.delete:
            raise Unsupported("mode=delete with several platforms in one folder")
        for tree in trees:
            self._send(number, output, (tree,), cancel)

    def _send(
        self,
        number: int,
        output: LocalOutput,
        trees: Sequence[ExportedTree],
        cancel: Cancellation,
    ) -> None:
        roots = {tree.name: tree.root for tree in trees}

        def open_file(path: str) -> int:
            name, _, rest = ("", "", path) if "" in roots else path.partition("/")
            root = roots[name]
            if root is None:
                raise FileNotFoundError(path)
            return opener_of(root)(rest)

        self._session.send_folder(number, _stats(trees, output.epoch), open_file, cancel)


def _stats(trees: Sequence[ExportedTree], epoch: int | None) -> Iterator[Stat]:
    """Everything in order, each tree in its folder, at the time `epoch` (s) if there is one."""
    time = None if epoch is None else epoch * _SECOND
    for tree in trees:
        prefix = f"{tree.name}/" if tree.name else ""
        if prefix:
            yield Stat(tree.name, _FOLDER, mod_time=time or 0)
        for stat in walk(tree.root) if tree.root is not None else ():
            linkname = stat.linkname
            if linkname and not stat.mode & filemode.SYMLINK:
                linkname = prefix + linkname
            yield stat._replace(
                path=prefix + stat.path,
                linkname=linkname,
                mod_time=stat.mod_time if time is None else time,
            )

"""Outputs that are files, on this machine."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from lamina.exporters.file_sink import open_sink

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from lamina.exporters.contract import ExportedTree
    from lamina.exporters.destination import ArchiveOutput, LocalOutput, TarOutput
    from lamina.exporters.file_sink import ByteSink
    from lamina.system.cancel import Cancellation


class LocalReceiver:
    """Implements `lamina.exporters.contract.Receiver`: an output's `dest` is a path."""

    def file(self, output: ArchiveOutput | TarOutput, /) -> AbstractContextManager[ByteSink]:
        return open_sink(output.dest)

    def folder(
        self, output: LocalOutput, trees: Sequence[ExportedTree], cancel: Cancellation, /
    ) -> None:
        from lamina.exporters.directory import export_directory

        for tree in trees:
            export_directory(
                tree.root,
                os.path.join(output.dest, tree.name) if tree.name else output.dest,
                cancel,
                epoch=output.epoch,
                delete=output.delete,
            )

"""Writes file outputs on this machine."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from lamina.base.errors import from_os_error
from lamina.exporters.file_sink import open_sink

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager

    from lamina.exporters.contract import AddedFile, Artifact, BlobReader, ExportedTree, Shown
    from lamina.exporters.destination import ArchiveOutput, LocalOutput, TarOutput
    from lamina.exporters.file_sink import ByteSink
    from lamina.system.cancel import Cancellation


class LocalReceiver:
    """Implements `lamina.exporters.contract.Receiver`: an output's `dest` is a path."""

    def __init__(self, cancel: Cancellation) -> None:
        self._cancel = cancel

    def file(
        self, output: ArchiveOutput | TarOutput, metadata: Mapping[str, Any], /
    ) -> AbstractContextManager[ByteSink]:
        return open_sink(output.dest, self._cancel)

    def layout(
        self, output: ArchiveOutput, artifact: Artifact, blobs: BlobReader, cancel: Cancellation, /
    ) -> None:
        from lamina.exporters.archive import write_layout

        write_layout(artifact, blobs, output.dest, cancel)

    def folder(
        self,
        output: LocalOutput,
        trees: Sequence[ExportedTree],
        show: Shown,
        cancel: Cancellation,
        /,
    ) -> None:
        from lamina.exporters.directory import export_directory

        for tree in trees:
            folder = os.path.join(output.dest, tree.name) if tree.name else output.dest
            with show(copying(tree.platform)) as progress:
                export_directory(
                    tree.root,
                    folder,
                    cancel,
                    tree.metadata,
                    epoch=tree.epoch,
                    delete=output.delete,
                    progress=progress,
                )
            for added in tree.added:
                _add(folder, added, tree.epoch)


def copying(platform: str) -> str:
    """The name of the step that copies a tree."""
    return f"copying files {platform}".rstrip()


def _add(folder: str, added: AddedFile, epoch: int | None) -> None:
    """Write a file. It replaces a file or link of the tree with the same name."""
    path = os.path.join(folder, added.name)
    part = f"{path}.{os.urandom(4).hex()}.part"
    try:
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(added.data)
        if epoch is not None:
            os.utime(part, (epoch, epoch))
        os.rename(part, path)
    except OSError as error:
        if os.path.lexists(part):
            os.unlink(part)
        raise from_os_error(error, "write the attestation") from error

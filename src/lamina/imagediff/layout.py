"""The blobs of an OCI layout in a directory, read in place."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from lamina.base.errors import NotFound, from_os_error
from lamina.imagediff.blob import read_document
from lamina.system.regular import open_regular_beneath

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lamina.base.oci import Descriptor
    from lamina.system.cancel import Cancellation

_CHUNK = 1 << 18


class FolderContent:
    """Implements `lamina.imagediff.image.ImageContent`. Links in the directory are not followed."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def document(self, descriptor: Descriptor, cancel: Cancellation) -> bytes:
        return read_document(self.chunks(descriptor, cancel), descriptor, cancel)

    def chunks(self, descriptor: Descriptor, cancel: Cancellation) -> Iterator[bytes]:
        digest = descriptor.digest
        try:
            fd = open_regular_beneath(self._folder, f"blobs/{digest.algorithm}/{digest.hex}")
            with open(fd, "rb", buffering=0) as file:
                while chunk := file.read(_CHUNK):
                    yield chunk
        except FileNotFoundError as error:
            raise NotFound(f"{self._folder} does not contain the blob {digest}") from error
        except OSError as error:
            raise from_os_error(error, "read the layout") from error


def is_layout(path: str) -> bool:
    """Whether a path is a directory with the index of an OCI layout."""
    return os.path.isfile(os.path.join(path, "index.json"))

"""The blobs of a local OCI layout."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from lamina.base.errors import NotFound, PermissionDenied, from_os_error
from lamina.system.regular import open_regular

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from lamina.base.digest import Digest
    from lamina.system.cancel import Cancellation

_CHUNK = 1 << 20


class LayoutContent:
    """Implements `lamina.session.contract.ContentStore`, read-only."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def size(self, digest: Digest, cancel: Cancellation) -> int:
        fd = self._open(digest)
        try:
            return os.fstat(fd).st_size
        finally:
            os.close(fd)

    def read(
        self, digest: Digest, cancel: Cancellation, *, offset: int = 0, size: int = 0
    ) -> Iterator[bytes]:
        with open(self._open(digest), "rb") as file:
            file.seek(offset)
            left = size or os.fstat(file.fileno()).st_size
            while left > 0 and (chunk := file.read(min(left, _CHUNK))):
                cancel.check()
                left -= len(chunk)
                yield chunk

    def write(
        self, digest: Digest, size: int, pieces: Iterable[bytes], cancel: Cancellation
    ) -> bool:
        raise PermissionDenied(f"the layout {self._folder} is read-only")

    def _open(self, digest: Digest) -> int:
        path = os.path.join(self._folder, "blobs", digest.algorithm, digest.hex)
        try:
            return open_regular(path)
        except FileNotFoundError as error:
            raise NotFound(f"{path}: no such blob in the layout") from error
        except OSError as error:
            raise from_os_error(error, "read the blob of a layout") from error

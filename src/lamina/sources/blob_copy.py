"""Copies blobs of OCI layouts and of clients' content stores into the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.errors import NotFound, from_os_error
from lamina.system.regular import open_regular_beneath

if TYPE_CHECKING:
    from lamina.base.digest import Digest
    from lamina.base.oci import Descriptor
    from lamina.session.contract import ContentStore
    from lamina.stores.blobs import BlobStore, BlobWriter
    from lamina.system.cancel import Cancellation


def copy_blob(folder: str, descriptor: Descriptor, blobs: BlobStore, cancel: Cancellation) -> None:
    """Copy a blob of a layout, and verify it. Raises NotFound, Corrupt, Cancelled."""
    if blobs.has(descriptor.digest):
        return
    try:
        with open(open_regular_beneath(folder, blob_path(descriptor.digest)), "rb") as file:

            def copy(writer: BlobWriter) -> None:
                file.seek(writer.offset)
                while chunk := file.read(1 << 20):
                    cancel.check()
                    writer.write(chunk)

            blobs.receive(descriptor, copy, cancel)
    except FileNotFoundError:
        raise NotFound(f"{folder} does not contain the blob {descriptor.digest}") from None
    except OSError as error:
        raise from_os_error(error, "read the layout") from error


def copy_from_client(
    content: ContentStore, descriptor: Descriptor, blobs: BlobStore, cancel: Cancellation
) -> None:
    """Copy a blob of a content store that a client provides. Also raises Unavailable."""
    if blobs.has(descriptor.digest):
        return

    def copy(writer: BlobWriter) -> None:
        for piece in content.read(descriptor.digest, cancel, offset=writer.offset):
            writer.write(piece)

    blobs.receive(descriptor, copy, cancel)


def blob_path(digest: Digest) -> str:
    """The path of a blob in an OCI layout."""
    return f"blobs/{digest.algorithm}/{digest.hex}"

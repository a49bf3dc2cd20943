"""Fetches blobs from a registry into a sink."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from lamina.base.oci import Descriptor
    from lamina.base.reference import Reference
    from lamina.registry.client import RegistryClient
    from lamina.system.cancel import Cancellation


class BlobSink(Protocol):
    """Receives a blob's bytes in order. The store's `BlobWriter` implements it."""

    @property
    def offset(self) -> int:
        """The number of bytes received, including those of earlier attempts."""
        ...

    def write(self, chunk: bytes, /) -> None: ...


def fetch_blob(
    client: RegistryClient,
    reference: Reference,
    descriptor: Descriptor,
    sink: BlobSink,
    cancel: Cancellation | None = None,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Fetch the rest of a blob into `sink`, which verifies the digest at the end.

    `progress` is called with the total bytes so far. Raises as `RegistryClient.blob` does, and the
    errors of the sink.
    """
    if progress is not None:
        progress(sink.offset)
    for chunk in client.blob(reference, descriptor, sink.offset, cancel):
        sink.write(chunk)
        if progress is not None:
            progress(sink.offset)

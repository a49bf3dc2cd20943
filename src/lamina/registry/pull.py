"""Blobs from a registry into whatever takes bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from lamina.base.oci import Descriptor
    from lamina.base.reference import Reference
    from lamina.registry.client import RegistryClient
    from lamina.system.cancel import Cancellation


class BlobSink(Protocol):
    """Takes a blob's bytes in order. The store's `BlobWriter` is one."""

    @property
    def offset(self) -> int:
        """How many bytes it has, also from an earlier attempt."""
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
    """Bring `sink` from its offset to the whole blob. The sink checks the digest at the end.

    `progress` is called with the bytes that are there so far. Raises as `RegistryClient.blob`
    does, and what the sink raises.
    """
    if progress is not None:
        progress(sink.offset)
    for chunk in client.blob(reference, descriptor, sink.offset, cancel):
        sink.write(chunk)
        if progress is not None:
            progress(sink.offset)

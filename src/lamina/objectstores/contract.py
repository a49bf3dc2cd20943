"""The port of object stores.

An object is either a *blob*, which is immutable and named by the digest of its content, or a
*document*, which is small and replaced by later ones. Stores treat them differently: large blobs
are sent in parts, and the GitHub Actions cache has no replaceable objects at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from lamina.base.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from lamina.base.digest import Digest
    from lamina.system.cancel import Cancellation

PART = 32 << 20
"""The size of the parts of large blobs in bytes; blobs up to this size are sent in one request."""


class StoredObject(NamedTuple):
    """An object in a store. `size` is in bytes, `modified` in seconds since 1970."""

    key: str
    size: int
    modified: float


class BlobSource(NamedTuple):
    """A blob to be stored. `read` returns its bytes from an offset on, again for each attempt."""

    digest: Digest
    size: int
    read: Callable[[int], Iterable[bytes]]


class ObjectStore(Protocol):
    """An object store. Thread-safe.

    Methods raise NotFound, PermissionDenied, Unavailable, Unsupported, Cancelled.
    """

    def document(self, key: str, limit: int, cancel: Cancellation) -> bytes:
        """Read a document. Raises Corrupt if it has more than `limit` bytes."""
        ...

    def write_document(self, key: str, data: bytes, cancel: Cancellation) -> None:
        """Write or replace a document. The last writer wins."""
        ...

    def blob(self, key: str, offset: int, cancel: Cancellation) -> Iterator[bytes]:
        """The bytes of a blob from an offset on. The receiver must verify them.

        Continues after a broken connection.
        """
        ...

    def find(self, key: str, cancel: Cancellation) -> StoredObject | None:
        """A blob's size and time, or None."""
        ...

    def write_blob(
        self, key: str, source: BlobSource, cancel: Cancellation, progress: Callable[[int], None]
    ) -> None:
        """Write a blob. An interrupted upload continues where it ended, if the store supports it.

        `progress` is called with the number of bytes that the store has received.
        """
        ...

    def refresh(self, found: StoredObject, cancel: Cancellation) -> None:
        """Set the time of a blob to now, so that rules for old objects do not delete it."""
        ...

    def objects(self, prefix: str, cancel: Cancellation) -> Iterator[StoredObject]:
        """All objects whose keys begin with `prefix`, in the order of their keys."""
        ...

    def delete(self, key: str, cancel: Cancellation) -> None:
        """Delete an object; not an error if there is none."""
        ...

    def close(self) -> None:
        """Close idle connections."""
        ...

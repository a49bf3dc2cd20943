"""Pushes a manifest or an index, with everything it refers to.

Blobs are sent first, concurrently, then manifests from the inside out. So a reader of the tag finds
everything that it refers to.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Protocol

from lamina.base.errors import Unavailable
from lamina.base.named_tuple import NamedTuple
from lamina.base.oci import INDEX_TYPES, MANIFEST_TYPES, Index, parse_manifest
from lamina.registry.push import push_blob, push_manifest
from lamina.system.threads import in_parallel

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from lamina.base.digest import Digest
    from lamina.base.oci import Descriptor
    from lamina.base.reference import Reference
    from lamina.registry.client import RegistryClient
    from lamina.system.cancel import Cancellation

_DOCUMENTS = (*INDEX_TYPES, *MANIFEST_TYPES)
SIDE_BY_SIDE = 4
"""The number of concurrent blob transfers to one registry."""


class Content(Protocol):
    """The source of a push: the store, or another registry."""

    def document(self, descriptor: Descriptor, cancel: Cancellation) -> bytes:
        """A manifest, verified. Raises NotFound, Corrupt."""
        ...

    def chunks(
        self, descriptor: Descriptor, cancel: Cancellation, offset: int = 0
    ) -> Iterator[bytes]:
        """A blob's bytes from an offset on. Raises NotFound."""
        ...

    def repositories(self, descriptor: Descriptor) -> Sequence[Reference]:
        """Repositories that probably have the blob, the most probable one first."""
        ...


class Transferred(Protocol):
    """Called with the bytes of a blob sent so far: its size if the registry had it."""

    def __call__(self, descriptor: Descriptor, sent: int, /) -> None: ...


class _Document(NamedTuple):
    descriptor: Descriptor
    data: bytes


class Upload:
    """The push of one manifest or index to one name.

    Args:
        reference: with a tag, or with neither tag nor digest to push by digest.
        mirrors: images of the same registry that may have the blobs, to be mounted from.

    Methods raise NotFound, PermissionDenied, Unavailable, Corrupt, Cancelled.
    """

    def __init__(
        self,
        client: RegistryClient,
        reference: Reference,
        target: Descriptor,
        content: Content,
        *,
        mirrors: Iterable[Reference] = (),
    ) -> None:
        self._client = client
        self._reference = reference
        self._content = content
        self._mirrors = [
            other.path
            for other in mirrors
            if other.domain == reference.domain and other.path != reference.path
        ]
        self._target = target
        self._lock = threading.Lock()
        self._sent: dict[Digest, int] = {}

    def run(self, cancel: Cancellation, progress: Transferred | None = None) -> None:
        """Push blobs and manifests."""
        self.blobs(cancel, progress)
        self.manifests(cancel)

    def blobs(self, cancel: Cancellation, progress: Transferred | None = None) -> None:
        """Step 1: push every blob to the repository."""
        blobs: dict[Digest, Descriptor] = {}
        for _, data in self._documents(cancel):
            document = parse_manifest(data)
            if isinstance(document, Index):
                parts = tuple(d for d in document.manifests if d.media_type not in _DOCUMENTS)
            else:
                parts = (*document.layers, document.config)
            blobs.update((part.digest, part) for part in parts)
        self.send(blobs.values(), cancel, progress)

    def send(
        self, blobs: Iterable[Descriptor], cancel: Cancellation, progress: Transferred | None = None
    ) -> None:
        """Push these blobs to the repository."""
        # The largest first, so that none of them is sent alone at the end.
        ordered = sorted(blobs, key=lambda blob: -blob.size)

        def send(blob: Descriptor, cancel: Cancellation) -> None:
            try:
                push_blob(
                    self._client,
                    self._reference,
                    blob,
                    lambda offset: self._counted(blob, offset, cancel, progress),
                    cancel,
                    self._mount_source(blob),
                )
            except Unavailable as error:
                more = f"; {error.hint}" if error.hint else ""
                hint = f"try again: blobs that arrived are not sent again{more}"
                raise error.with_context(hint=hint) from error
            if progress is not None:
                progress(blob, blob.size)

        in_parallel(ordered, send, SIDE_BY_SIDE, cancel)

    def manifests(self, cancel: Cancellation) -> None:
        """Step 2: push the manifests, the target of the name last."""
        by_digest = self._reference._replace(tag="", digest=None)
        for descriptor, data in self._documents(cancel):
            last = descriptor.digest == self._target.digest
            reference = self._reference if last else by_digest
            push_manifest(self._client, reference, descriptor.media_type, data, cancel)

    def _documents(self, cancel: Cancellation) -> Iterator[_Document]:
        """The target and the manifests below it, inner ones first."""
        yield from self._below(self._target, cancel, set())

    def _below(
        self, descriptor: Descriptor, cancel: Cancellation, seen: set[Digest]
    ) -> Iterator[_Document]:
        if descriptor.digest in seen:
            return
        seen.add(descriptor.digest)
        data = self._content.document(descriptor, cancel)
        document = parse_manifest(data, descriptor.media_type)
        if isinstance(document, Index):
            for entry in document.manifests:
                # A cache's index lists layers, which are pushed as blobs.
                if entry.media_type in _DOCUMENTS:
                    yield from self._below(entry, cancel, seen)
        yield _Document(descriptor, data)

    def _mount_source(self, blob: Descriptor) -> str:
        for other in self._content.repositories(blob):
            if other.domain == self._reference.domain and other.path != self._reference.path:
                return other.path
        return self._mirrors[0] if self._mirrors else ""

    def _counted(
        self, blob: Descriptor, offset: int, cancel: Cancellation, progress: Transferred | None
    ) -> Iterator[bytes]:
        sent = offset
        for chunk in self._content.chunks(blob, cancel, offset):
            cancel.check()
            yield chunk
            sent += len(chunk)
            if progress is not None:
                progress(blob, sent)

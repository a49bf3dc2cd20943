"""The blob sources: one blob of an image repository, or of a layout, as a file.

`docker-image+blob://<name>@<digest>` is fetched from the name's registry,
`oci-layout+blob://<name>@<digest>` from a content store that a client provides (`oci.store`).
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Protocol

from lamina.base.digest import digest_of
from lamina.base.errors import InvalidInput, NotFound
from lamina.base.gojson import encode
from lamina.base.named_tuple import NamedTuple
from lamina.base.oci import Descriptor
from lamina.base.reference import parse_reference
from lamina.refs.plan import FilePlan, PlannedFile
from lamina.refs.ref import Ref
from lamina.solver.contract import CacheMap
from lamina.sources.blob_copy import copy_from_client
from lamina.sources.contract import source_digest
from lamina.sources.http_request import file_name
from lamina.sources.material import BlobMaterial

if TYPE_CHECKING:
    from collections.abc import Callable

    from lamina.base.digest import Digest
    from lamina.base.reference import Reference
    from lamina.refs.manager import RefManager
    from lamina.registry.client import RegistryClient
    from lamina.session.contract import ContentStore
    from lamina.solver.contract import OpContext
    from lamina.sources.http import HttpFile
    from lamina.sources.material import Material
    from lamina.stores.blobs import BlobStore
    from lamina.system.cancel import Cancellation

REGISTRY_BLOB = "docker-image+blob"
LAYOUT_BLOB = "oci-layout+blob"


class BlobName(NamedTuple):
    """`<name>@<digest>`; `local` if it is in a layout."""

    reference: Reference
    digest: Digest
    local: bool

    def __str__(self) -> str:
        return f"{LAYOUT_BLOB if self.local else REGISTRY_BLOB}://{self.reference}"


def parse_blob_name(scheme: str, name: str) -> BlobName:
    """Parse the name of a blob. Raises InvalidInput."""
    if scheme not in (REGISTRY_BLOB, LAYOUT_BLOB):
        raise InvalidInput(
            f'"{scheme}" is not a scheme for blobs', hint=f"use {REGISTRY_BLOB} or {LAYOUT_BLOB}"
        )
    reference = parse_reference(name)
    if reference.digest is None:
        raise InvalidInput(f"{scheme}://{name}: a blob must be named by its digest")
    return BlobName(reference, reference.digest, scheme == LAYOUT_BLOB)


class BlobOrigin(Protocol):
    """The origin of a blob."""

    def bring(self, digest: Digest, blobs: BlobStore, cancel: Cancellation) -> None:
        """Fetch the blob into the store, verified.

        Raises NotFound, PermissionDenied, Unavailable, Corrupt, Cancelled.
        """
        ...


class RegistryBlob:
    """A repository. Implements `BlobOrigin`, also for manifests."""

    def __init__(self, reference: Reference, registry: Callable[[], RegistryClient]) -> None:
        self._reference = reference
        self._registry = registry

    def bring(self, digest: Digest, blobs: BlobStore, cancel: Cancellation) -> None:
        from lamina.registry.pull import fetch_blob

        if blobs.has(digest):
            return
        registry, reference = self._registry(), self._reference
        try:
            described = registry.describe_blob(reference, digest, cancel)
        except NotFound as missing:
            try:
                blobs.put(registry.manifest(reference, digest, cancel))
            except NotFound:
                raise missing from None
            return
        blobs.receive(
            described,
            lambda writer: fetch_blob(registry, reference, described, writer, cancel),
            cancel,
        )


class ClientBlobs:
    """A content store that a client provides. Implements `BlobOrigin`."""

    def __init__(self, content: ContentStore) -> None:
        self._content = content

    def bring(self, digest: Digest, blobs: BlobStore, cancel: Cancellation) -> None:
        if not blobs.has(digest):
            size = self._content.size(digest, cancel)
            copy_from_client(self._content, Descriptor("", digest, size), blobs, cancel)


class BlobSource:
    """One blob as a file. The key is its digest with the requested name, mode and owner."""

    def __init__(
        self,
        name: BlobName,
        wanted: HttpFile,
        place: BlobOrigin,
        blobs: BlobStore,
        refs: RefManager,
    ) -> None:
        self._name = name
        self._wanted = wanted
        self._file_name = file_name(wanted.name) if wanted.name else ""
        self._place = place
        self._blobs = blobs
        self._refs = refs

    def cache_map(self, context: OpContext) -> CacheMap:
        wanted = self._wanted
        document = {
            "Digest": str(self._name.digest),
            "Filename": self._file_name,
            "Perm": wanted.perm,
            "UID": wanted.uid,
            "GID": wanted.gid,
        }
        return CacheMap(source_digest(digest_of(encode(document))))

    def material(self) -> Material | None:
        return BlobMaterial(str(self._name.reference), self._name.digest, self._name.local)

    def fetch(self, context: OpContext) -> Ref:
        digest, wanted = self._name.digest, self._wanted
        self._place.bring(digest, self._blobs, context.cancel)
        data = self._blobs.path(digest)
        mode = stat.S_IFREG | (wanted.perm & 0o7777 or 0o600)
        size = os.path.getsize(data)
        plan = FilePlan(None)
        file = PlannedFile(mode, wanted.uid, wanted.gid, 0, size=size, source=data)
        plan.put(self._file_name or digest.hex, file)
        return self._refs.commit_plan(plan, Ref(), str(self._name))

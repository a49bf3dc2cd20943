"""The port of cache backends, and two implementations: registries and directories.

A backend stores manifests by name, with the blobs that they refer to, like registries, OCI layouts
and object stores. `part` identifies a part of a cache: "" is its results, any other value one of
its cache mounts.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, BinaryIO, Protocol

from lamina.base.errors import Corrupt, NotFound, from_os_error
from lamina.base.json_document import load_json_object
from lamina.base.oci import (
    ANNOTATION_REF_NAME,
    OCI_INDEX,
    Index,
    descriptor_from_json,
    parse_manifest,
)
from lamina.registry.blob_upload import has_blob
from lamina.registry.upload import Upload
from lamina.stores.origins import Origin, OriginKind
from lamina.system.regular import open_regular_beneath, read_regular

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from lamina.base.digest import Digest
    from lamina.base.oci import Descriptor
    from lamina.base.reference import Reference
    from lamina.cacheio.options import FolderLocation
    from lamina.registry.client import RegistryClient
    from lamina.registry.upload import Content, Transferred
    from lamina.system.cancel import Cancellation

_CHUNK = 1 << 20
_INDEX_LIMIT = 16 << 20


class Backend(Protocol):
    """A cache backend. Methods raise NotFound, PermissionDenied, Unavailable, Corrupt,
    Cancelled."""

    @property
    def label(self) -> str:
        """Its name in messages."""

    @property
    def origin(self) -> Origin:
        """This backend as an origin of layers."""

    def alternatives(self) -> Sequence[Backend]:
        """The backends to import from: one for each name or scope of the cache."""
        ...

    def manifest(self, part: str, cancel: Cancellation) -> tuple[Digest, bytes]:
        """The descriptor that the name of a part points to."""
        ...

    def document(self, descriptor: Descriptor, cancel: Cancellation) -> bytes:
        """A manifest that another one refers to."""
        ...

    def blob(
        self, descriptor: Descriptor, cancel: Cancellation, offset: int = 0
    ) -> Iterator[bytes]:
        """A blob's bytes from an offset on. The receiver must verify their digest."""
        ...

    def has(self, descriptor: Descriptor, cancel: Cancellation) -> bool: ...

    def stage(
        self,
        part: str,
        blobs: Sequence[Descriptor],
        content: Content,
        cancel: Cancellation,
        progress: Transferred | None = None,
    ) -> None:
        """Store the blobs of a manifest before the manifest."""
        ...

    def name(self, part: str, target: Descriptor, content: Content, cancel: Cancellation) -> None:
        """Store a manifest whose blobs exist, and point the part's name to it.

        Raises NotFound or Unavailable if a blob does not exist.
        """
        ...


class RegistryBackend:
    """A cache in a registry. Parts are tags: the cache's own, and others that begin with it."""

    def __init__(self, client: RegistryClient, reference: Reference) -> None:
        self._client = client
        self._reference = reference

    @property
    def label(self) -> str:
        return self._reference.familiar

    @property
    def origin(self) -> Origin:
        return Origin(OriginKind.CACHE, str(self._reference))

    def alternatives(self) -> Sequence[Backend]:
        return (self,)

    def manifest(self, part: str, cancel: Cancellation) -> tuple[Digest, bytes]:
        name = self._name(part)
        found = self._client.resolve(name, cancel)
        return found.digest, self._client.manifest(name, found.digest, cancel)

    def document(self, descriptor: Descriptor, cancel: Cancellation) -> bytes:
        return self._client.manifest(self._reference, descriptor.digest, cancel)

    def blob(
        self, descriptor: Descriptor, cancel: Cancellation, offset: int = 0
    ) -> Iterator[bytes]:
        return self._client.blob(self._reference, descriptor, offset, cancel)

    def has(self, descriptor: Descriptor, cancel: Cancellation) -> bool:
        return has_blob(self._client, self._reference, descriptor, cancel, "pull")

    def stage(
        self,
        part: str,
        blobs: Sequence[Descriptor],
        content: Content,
        cancel: Cancellation,
        progress: Transferred | None = None,
    ) -> None:
        if blobs:
            upload = Upload(self._client, self._name(part), blobs[-1], content)
            upload.send(blobs, cancel, progress)

    def name(self, part: str, target: Descriptor, content: Content, cancel: Cancellation) -> None:
        Upload(self._client, self._name(part), target, content).manifests(cancel)

    def _name(self, part: str) -> Reference:
        if not part:
            return self._reference
        tag = self._reference.tag or "latest"
        return self._reference._replace(tag=f"{tag[:90]}.{part}", digest=None)


class FolderBackend:
    """A cache in an OCI layout. Parts are tags in its index."""

    def __init__(self, location: FolderLocation) -> None:
        self._location = location

    @property
    def label(self) -> str:
        return self._location.label

    @property
    def origin(self) -> Origin:
        return Origin(OriginKind.LAYOUT, self._location.path)

    def alternatives(self) -> Sequence[Backend]:
        return (self,)

    def manifest(self, part: str, cancel: Cancellation) -> tuple[Digest, bytes]:
        if self._location.digest is not None and not part:
            return self._location.digest, self._read(self._location.digest)
        tag = self._tag(part)
        for entry in self._entries():
            if dict(entry.annotations).get(ANNOTATION_REF_NAME) == tag:
                return entry.digest, self._read(entry.digest)
        raise NotFound(f"{self._location.path} has no cache with the tag {tag}")

    def document(self, descriptor: Descriptor, cancel: Cancellation) -> bytes:
        return self._read(descriptor.digest)

    def blob(
        self, descriptor: Descriptor, cancel: Cancellation, offset: int = 0
    ) -> Iterator[bytes]:
        with self._open(descriptor.digest) as file:
            file.seek(offset)
            while chunk := file.read(_CHUNK):
                cancel.check()
                yield chunk

    def has(self, descriptor: Descriptor, cancel: Cancellation) -> bool:
        return self._holds(descriptor)

    def stage(
        self,
        part: str,
        blobs: Sequence[Descriptor],
        content: Content,
        cancel: Cancellation,
        progress: Transferred | None = None,
    ) -> None:
        try:
            os.makedirs(os.path.join(self._location.path, "blobs", "sha256"), exist_ok=True)
            for blob in blobs:
                if not self.has(blob, cancel):
                    self._add_blob(blob.digest, content.chunks(blob, cancel))
                if progress is not None:
                    progress(blob, blob.size)
        except OSError as error:
            raise from_os_error(error, "write the cache") from error

    def name(self, part: str, target: Descriptor, content: Content, cancel: Cancellation) -> None:
        data = content.document(target, cancel)
        self._check_parts(data)
        try:
            self._add_blob(target.digest, (data,))
            self._name_it(self._tag(part), target)
        except OSError as error:
            raise from_os_error(error, "write the cache") from error

    def keep_only_named(self) -> None:
        """Remove the blobs that the index does not refer to, directly or indirectly.

        Raises NotFound, Corrupt, PermissionDenied.
        """
        needed: set[str] = set()
        for entry in self._entries():
            needed.add(entry.digest.hex)
            parts = _parts(self._read(entry.digest))
            needed.update(part.digest.hex for part in parts)
        folder = os.path.join(self._location.path, "blobs", "sha256")
        try:
            for name in os.listdir(folder):
                if name not in needed:
                    os.unlink(os.path.join(folder, name))
        except OSError as error:
            raise from_os_error(error, "remove unneeded blobs of the cache") from error

    def named(self) -> Digest | None:
        """The descriptor that the tag points to, None without one."""
        try:
            entries = self._entries()
        except NotFound:
            return None
        for entry in entries:
            if dict(entry.annotations).get(ANNOTATION_REF_NAME) == self._location.tag:
                return entry.digest
        return None

    def point(self, target: Descriptor) -> None:
        """Point the tag to a manifest that exists, with everything that it refers to.

        Raises NotFound, Corrupt, PermissionDenied, Exhausted.
        """
        self._check_parts(self._read(target.digest))
        try:
            self._name_it(self._location.tag, target)
        except OSError as error:
            raise from_os_error(error, "write the index of the cache") from error

    def _check_parts(self, manifest: bytes) -> None:
        for blob in _parts(manifest):
            if not self._holds(blob):
                raise NotFound(f"{self._location.path} does not contain the blob {blob.digest}")

    def _holds(self, descriptor: Descriptor) -> bool:
        try:
            return os.stat(self.path_of(descriptor.digest)).st_size == descriptor.size
        except OSError:
            return False

    def _tag(self, part: str) -> str:
        return f"{self._location.tag}.{part}" if part else self._location.tag

    def path_of(self, digest: Digest) -> str:
        return os.path.join(self._location.path, "blobs", digest.algorithm, digest.hex)

    def _open(self, digest: Digest) -> BinaryIO:
        try:
            path = f"blobs/{digest.algorithm}/{digest.hex}"
            return open(open_regular_beneath(self._location.path, path), "rb")
        except OSError as error:
            raise from_os_error(error, "read the cache") from error

    def _read(self, digest: Digest) -> bytes:
        from hashlib import sha256

        with self._open(digest) as file:
            data = file.read()
        if sha256(data).hexdigest() != digest.hex:
            raise Corrupt(f"{self.path_of(digest)} does not match its digest")
        return data

    def _entries(self) -> list[Descriptor]:
        path = os.path.join(self._location.path, "index.json")
        try:
            data = read_regular(path, _INDEX_LIMIT)
        except FileNotFoundError:
            raise NotFound(f"there is no cache in {self._location.path}") from None
        except OSError as error:
            raise from_os_error(error, "read the cache") from error
        document = load_json_object(data, path)
        return [descriptor_from_json(entry) for entry in document.get("manifests") or ()]

    def _add_blob(self, digest: Digest, chunks: Iterable[bytes]) -> None:
        path = self.path_of(digest)
        if os.path.exists(path):
            return
        _write(path, chunks)

    def _name_it(self, tag: str, target: Descriptor) -> None:
        import fcntl
        import json

        root = self._location.path
        _write(os.path.join(root, "oci-layout"), (b'{"imageLayoutVersion":"1.0.0"}',))
        # Concurrent builds must not lose each other's entries.
        with open(os.path.join(root, "index.json.lock"), "w", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            try:
                entries = self._entries()
            except NotFound:
                entries = []
            named = target._replace(annotations=((ANNOTATION_REF_NAME, tag),))
            kept = [e for e in entries if dict(e.annotations).get(ANNOTATION_REF_NAME) != tag]
            index = Index(OCI_INDEX, (*kept, named))
            _write(os.path.join(root, "index.json"), (json.dumps(index.to_json()).encode(),))


def _parts(manifest: bytes) -> Sequence[Descriptor]:
    """The descriptors in a manifest or an index."""
    document = parse_manifest(manifest)
    if isinstance(document, Index):
        return document.manifests
    return (*document.layers, document.config)


def _write(path: str, chunks: Iterable[bytes]) -> None:
    part = f"{path}.{os.urandom(4).hex()}.part"
    try:
        with open(part, "xb") as file:
            for chunk in chunks:
                file.write(chunk)
        os.replace(part, path)
    except BaseException:
        if os.path.lexists(part):
            os.unlink(part)
        raise

"""Caches in object stores, in BuildKit's layout.

BuildKit stores a cache as one document: the cache config, with the annotations of each layer that
a manifest has elsewhere. It is written and read here as the manifest and the config of a cache
elsewhere, so that imports and exports need not differ. All other parts, which BuildKit does not
have, are stored as manifests.

    <manifests><name>          the cache config with annotations
    <manifests><name>.<part>   a manifest
    <blobs><digest>            a blob
"""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

from lamina.base import oci
from lamina.base.digest import digest_of, parse_digest
from lamina.base.errors import Corrupt, LaminaError, NotFound, PermissionDenied
from lamina.base.json_document import items, load_json_object, members, text, whole_number
from lamina.base.oci import Descriptor
from lamina.cacheio.cache_config import CREATED_AT, MEDIA_TYPE, UNCOMPRESSED, find_config
from lamina.objectstores.contract import BlobSource
from lamina.stores.origins import Origin, OriginKind
from lamina.system.threads import in_parallel

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from lamina.base.digest import Digest
    from lamina.cacheio.object_options import ObjectLocation
    from lamina.objectstores.contract import ObjectStore
    from lamina.registry.upload import Content, Transferred
    from lamina.system.cancel import Cancellation

_DOCUMENT = 64 << 20
_PROBES = 8
_UNKNOWN_TIME = "0001-01-01T00:00:00Z"  # Go's zero time


class ObjectBackend:
    """Implements `lamina.cacheio.backend.Backend`."""

    def __init__(self, store: ObjectStore, location: ObjectLocation) -> None:
        self.store = store
        self._location = location
        self._lock = threading.Lock()
        self._documents: dict[Digest, bytes] = {}
        self._stored: set[Digest] = set()

    @property
    def label(self) -> str:
        return self._location.label

    @property
    def origin(self) -> Origin:
        return Origin(OriginKind.STORE, self._location.label)

    def alternatives(self) -> Sequence[ObjectBackend]:
        return [
            ObjectBackend(self.store, self._location._replace(names=(name,)))
            for name in self._location.names
        ]

    def manifest(self, part: str, cancel: Cancellation) -> tuple[Digest, bytes]:
        """The manifest under the first name that has one."""
        missing = NotFound(f"{self.label} has no cache for this job")
        for name in self._location.names:
            try:
                data = self.store.document(self._key(name, part), _DOCUMENT, cancel)
            except NotFound as error:
                missing = error
                continue
            document = load_json_object(data, f"cache {self.label}")
            if "schemaVersion" not in document:
                data = self._split(document)
            digest = digest_of(data)
            with self._lock:
                self._documents[digest] = data
            return digest, data
        raise missing

    def document(self, descriptor: Descriptor, cancel: Cancellation) -> bytes:
        data = b"".join(self.blob(descriptor, cancel))
        if digest_of(data) != descriptor.digest:
            raise Corrupt(f"{self.label} has another content for {descriptor.digest}")
        return data

    def blob(
        self, descriptor: Descriptor, cancel: Cancellation, offset: int = 0
    ) -> Iterator[bytes]:
        known = self._documents.get(descriptor.digest)
        if known is not None:
            return iter((known[offset:],))
        return self.store.blob(self._blob_key(descriptor.digest), offset, cancel)

    def has(self, descriptor: Descriptor, cancel: Cancellation) -> bool:
        found = self.store.find(self._blob_key(descriptor.digest), cancel)
        return found is not None and found.size == descriptor.size

    def stage(
        self,
        part: str,
        blobs: Sequence[Descriptor],
        content: Content,
        cancel: Cancellation,
        progress: Transferred | None = None,
    ) -> None:
        self._must_have_names()
        # The largest first, so that none of them is sent alone at the end. A config is not stored.
        ordered = sorted(
            (blob for blob in blobs if blob.media_type != MEDIA_TYPE), key=lambda blob: -blob.size
        )

        def send(blob: Descriptor, cancel: Cancellation) -> None:
            def report(sent: int) -> None:
                if progress is not None:
                    progress(blob, sent)

            if self._is_stored(blob, cancel):
                report(blob.size)
                return
            source = BlobSource(
                blob.digest, blob.size, lambda offset: content.chunks(blob, cancel, offset)
            )
            self.store.write_blob(self._blob_key(blob.digest), source, cancel, report)
            with self._lock:
                self._stored.add(blob.digest)

        in_parallel(ordered, send, self._location.side_by_side, cancel)

    def name(self, part: str, target: Descriptor, content: Content, cancel: Cancellation) -> None:
        self._must_have_names()
        data = content.document(target, cancel)
        described, layers = find_config(data)
        if described is None or part:
            document = oci.parse_manifest(data)
            needed: Iterable[Descriptor] = (
                document.manifests
                if isinstance(document, oci.Index)
                else (*document.layers, document.config)
            )
        else:
            needed = layers
            config = b"".join(content.chunks(described, cancel))
            data = _joined(load_json_object(config, "cache config"), layers)
        self._check(needed, cancel)
        for name in self._location.names:
            self.store.write_document(self._key(name, part), data, cancel)

    def _check(self, blobs: Iterable[Descriptor], cancel: Cancellation) -> None:
        missing: list[Descriptor] = []

        def look(blob: Descriptor, cancel: Cancellation) -> None:
            if not self._is_stored(blob, cancel):
                missing.append(blob)

        in_parallel(list(dict.fromkeys(blobs)), look, _PROBES, cancel)
        if missing:
            raise NotFound(f"{self.label} does not contain the blob {missing[0].digest}")

    def _is_stored(self, blob: Descriptor, cancel: Cancellation) -> bool:
        """Whether the store has a blob, which gets a new time if it is old. Removes a truncated
        one."""
        with self._lock:
            if blob.digest in self._stored:
                return True
        import time

        key = self._blob_key(blob.digest)
        found = self.store.find(key, cancel)
        if found is None:
            return False
        if found.size != blob.size:
            self.store.delete(key, cancel)
            return False
        if time.time() - found.modified > self._location.refresh:
            self.store.refresh(found, cancel)
        with self._lock:
            self._stored.add(blob.digest)
        return True

    def _must_have_names(self) -> None:
        if not self._location.names:
            raise PermissionDenied(
                f"the token may not write to the {self._location.config.label}",
                hint="jobs for pull requests from forks may only read it",
            )

    def _key(self, name: str, part: str) -> str:
        return f"{self._location.manifests}{name}{'.' if part else ''}{part}"

    def _blob_key(self, digest: Digest) -> str:
        return f"{self._location.blobs}{digest}"

    def _split(self, document: dict[str, Any]) -> bytes:
        """The manifest of BuildKit's document. Keeps the config. Raises Corrupt."""
        config, layers = _separated(document)
        described = Descriptor(MEDIA_TYPE, digest_of(config), len(config))
        with self._lock:
            self._documents[described.digest] = config
        manifest = oci.Manifest(oci.OCI_MANIFEST, described, layers)
        return json.dumps(manifest.to_json(), separators=(",", ":")).encode()


def _joined(config: dict[str, Any], layers: Sequence[Descriptor]) -> bytes:
    """The config with the annotations of its layers."""
    known = {str(layer.digest): layer for layer in layers}
    annotated = [
        {**members(entry), "annotations": _annotations(known[text(entry["blob"])])}
        for entry in items(config.get("layers"))
    ]
    return json.dumps({**config, "layers": annotated}, separators=(",", ":")).encode()


def _annotations(layer: Descriptor) -> dict[str, object]:
    notes = dict(layer.annotations)
    return {
        "mediaType": layer.media_type,
        "diffID": notes.get(UNCOMPRESSED, ""),
        "size": layer.size,
        "createdAt": notes.get(CREATED_AT) or _UNKNOWN_TIME,
    }


def _separated(document: Mapping[str, Any]) -> tuple[bytes, tuple[Descriptor, ...]]:
    """The config without annotations, and its layers. Raises Corrupt."""
    layers: dict[Digest, Descriptor] = {}
    plain = []
    try:
        for entry in map(members, items(document.get("layers"))):
            notes = members(entry["annotations"])
            digest = parse_digest(text(entry["blob"]))
            created = text(notes.get("createdAt"))
            pairs = [(UNCOMPRESSED, str(parse_digest(text(notes["diffID"]))))]
            if created and created != _UNKNOWN_TIME:
                pairs.append((CREATED_AT, created))
            layers[digest] = Descriptor(
                text(notes.get("mediaType")),
                digest,
                whole_number(notes.get("size", 0)),
                tuple(pairs),
            )
            plain.append({key: value for key, value in entry.items() if key != "annotations"})
    except (KeyError, ValueError, LaminaError) as error:
        raise Corrupt(f"malformed cache config: {error}") from error
    data = json.dumps({**document, "layers": plain}, separators=(",", ":")).encode()
    return data, tuple(layers.values())

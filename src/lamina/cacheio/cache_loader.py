"""Loads the caches of `--cache-from` when the first key is not found locally."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from lamina.base.digest import digest_of
from lamina.base.errors import Cancelled, Corrupt, LaminaError, NotFound
from lamina.base.json_document import load_json_object
from lamina.base.oci import Index, diff_ids_of, parse_manifest
from lamina.cacheio.cache_config import decode, decode_inline, find_config
from lamina.cacheio.imported import ImportedCache

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lamina.base.oci import Descriptor
    from lamina.cacheio.backend import Backend
    from lamina.cacheio.cache_config import CacheConfig
    from lamina.cacheio.contract import Steps
    from lamina.cacheio.options import CacheImport
    from lamina.system.cancel import Cancellation

_LIMIT = 64 << 20


class CacheLoader:
    """The imported caches of one build. Each is loaded once, by the first caller.

    A cache that cannot be loaded is a warning.
    """

    def __init__(
        self, open_cache: Callable[[CacheImport], Backend], steps: Steps, cancel: Cancellation
    ) -> None:
        self._open = open_cache
        self._steps = steps
        self._cancel = cancel
        self._lock = threading.Lock()
        self._read: dict[CacheImport, list[ImportedCache]] = {}

    def caches(self, imports: Sequence[CacheImport]) -> list[ImportedCache]:
        """The caches of `imports`. Each is loaded once."""
        found: list[ImportedCache] = []
        with self._lock:
            for each in imports:
                if each not in self._read:
                    self._read[each] = self._load(each)
                found += self._read[each]
        return found

    def _load(self, requested: CacheImport) -> list[ImportedCache]:
        label = requested.location.label
        try:
            with self._steps(f"importing cache manifest from {label}") as shown:
                try:
                    return load_alternatives(self._open(requested), self._cancel)
                except Cancelled:
                    raise
                except LaminaError as error:
                    shown.warn(f"the cache {label} is not used: {error.reason}")
                    raise
        except Cancelled:
            raise
        except LaminaError:
            return []


def load_alternatives(backend: Backend, cancel: Cancellation) -> list[ImportedCache]:
    """The caches of all names or scopes of a backend; some of them may not exist.

    Raises NotFound (there is none), PermissionDenied, Unavailable, Corrupt, Cancelled.
    """
    found: list[ImportedCache] = []
    missing: LaminaError = NotFound(f"{backend.label} has no cache for this job")
    for each in backend.alternatives():
        try:
            found += load_caches(each, cancel)
        except NotFound as error:
            missing = error
    if not found:
        raise missing
    return found


def load_caches(backend: Backend, cancel: Cancellation) -> list[ImportedCache]:
    """A cache by its manifest, or the inline caches of an image, or of all images of an index.

    Raises NotFound, PermissionDenied, Unavailable, Corrupt, Cancelled.
    """
    _, data = backend.manifest("", cancel)
    described, layers = find_config(data)
    if described is not None:
        config = decode(read_blob(backend, described, cancel), layers)
        return [ImportedCache(config, backend.origin)]
    found = [ImportedCache(config, backend.origin) for config in _inline(backend, data, cancel)]
    if not found:
        raise NotFound(
            "the image contains no cache",
            hint="build it with --cache-to type=inline",
        )
    return found


def read_blob(backend: Backend, descriptor: Descriptor, cancel: Cancellation) -> bytes:
    """Read a whole blob and verify it."""
    parts = []
    size = 0
    for chunk in backend.blob(descriptor, cancel):
        size += len(chunk)
        if size > _LIMIT:
            raise Corrupt(f"{descriptor.digest} is larger than {_LIMIT} bytes")
        parts.append(chunk)
    data = b"".join(parts)
    if digest_of(data) != descriptor.digest:
        raise Corrupt(f"{backend.label} sent content that does not match {descriptor.digest}")
    return data


def _inline(
    backend: Backend, data: bytes, cancel: Cancellation, *, nested: bool = False
) -> list[CacheConfig]:
    document = parse_manifest(data)
    found: list[CacheConfig] = []
    if isinstance(document, Index):
        if nested:
            raise Corrupt(f"{backend.label}: nested indexes are not supported")
        for entry in document.manifests:
            found += _inline(backend, backend.document(entry, cancel), cancel, nested=True)
        return found
    config = load_json_object(read_blob(backend, document.config, cancel), "image config")
    inline = decode_inline(config, document.layers, diff_ids_of(config))
    return [inline] if inline is not None else []

"""The caches of a build in a daemon. Local directories are served as content stores."""

from __future__ import annotations

import json
import os
from hashlib import sha256
from typing import TYPE_CHECKING

from lamina.api.control import CacheOptions, CacheOptionsEntry
from lamina.base.errors import NotFound
from lamina.client.cache_attributes import cache_pairs
from lamina.client.frontend_attributes import plain_text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from lamina.cacheio.options import CacheExport
    from lamina.client.contract import BuildRequest, CacheSpec

_LOCAL = "local"
_MANIFEST = "cache.manifest"


class RemoteCaches:
    """The caches of one request. Raises InvalidInput, Unsupported, as embedded builds do.

    `stores` are the directories by their names in the session. `missing` are those that should be
    imported and contain no cache.
    """

    def __init__(self, request: BuildRequest) -> None:
        self.stores: dict[str, str] = {}
        self.missing: list[str] = []
        self._imports: list[CacheOptionsEntry] = []
        self._exports: list[CacheOptionsEntry] = []
        self._written: dict[int, CacheExport] = {}  # by their numbers among the exports
        for spec in request.cache_from:
            self._read(spec.type, _attributes(spec))
        for spec in request.cache_to:
            self._write(spec.type, _attributes(spec))

    def options(self) -> CacheOptions | None:
        """The cache options of the request to the daemon."""
        if not self._imports and not self._exports:
            return None
        return CacheOptions(exports=tuple(self._exports), imports=tuple(self._imports))

    def attributes(self) -> dict[str, str]:
        """The frontend attributes with the cache imports."""
        if not self._imports:
            return {}
        # The names are those of Go's fields.
        imports = [{"Type": entry.type, "Attrs": dict(entry.attrs)} for entry in self._imports]
        return {"cache-imports": json.dumps(imports)}

    def finish(self, response: Mapping[str, Any]) -> None:
        """Add the exported caches to the indexes of their directories.

        Raises NotFound, Corrupt, PermissionDenied, Exhausted.
        """
        if not self._written:
            return
        from lamina.base.oci import descriptor_from_json
        from lamina.cacheio.backend import FolderBackend
        from lamina.cacheio.options import FolderLocation

        for number, export in self._written.items():
            assert isinstance(export.location, FolderLocation)
            # BuildKit's response contains only one of several caches.
            text = response.get(f"{_MANIFEST}.{number}") or response.get(_MANIFEST)
            if not text:
                continue  # nothing was exported, or a warning has given the reason
            target = descriptor_from_json(text if isinstance(text, dict) else json.loads(text))
            backend = FolderBackend(export.location)
            if not os.path.exists(backend.path_of(target.digest)):
                if export.must_succeed:
                    raise NotFound(
                        f"the daemon has not written the cache to {export.location.path}"
                    )
                continue
            backend.point(target)
            if export.reset:
                backend.keep_only_named()

    def _read(self, kind: str, pairs: dict[str, str]) -> None:
        from lamina.cacheio.options import FolderLocation, make_import

        location = make_import({"type": kind, **pairs}).location
        if isinstance(location, FolderLocation):
            from lamina.cacheio.backend import FolderBackend

            digest = location.digest or FolderBackend(location).named()
            if digest is None:
                self.missing.append(location.path)
                return
            pairs |= {"src": self._provide(location.path), "digest": str(digest)}
        self._imports.append(_entry(kind, pairs))

    def _write(self, kind: str, pairs: dict[str, str]) -> None:
        from lamina.cacheio.options import FolderLocation, make_export

        export = make_export({"type": kind, **pairs})
        pairs.setdefault("ignore-error", "false" if export.must_succeed else "true")
        if isinstance(export.location, FolderLocation):
            path = export.location.path
            os.makedirs(path, exist_ok=True)
            pairs["dest"] = self._provide(path)
            self._written[len(self._exports)] = export
        self._exports.append(_entry(kind, pairs))

    def _provide(self, path: str) -> str:
        """Provide a directory in the session. Returns its name there: the path, if it is text."""
        name = plain_text(path)
        if name != path:
            name += f"-{sha256(os.fsencode(path)).hexdigest()[:12]}"
        self.stores[f"{_LOCAL}:{name}"] = path
        return name


def _attributes(spec: CacheSpec) -> dict[str, str]:
    pairs = cache_pairs(spec)
    del pairs["type"]
    return pairs


def _entry(kind: str, pairs: Mapping[str, str]) -> CacheOptionsEntry:
    return CacheOptionsEntry(kind, tuple(sorted(pairs.items())))

"""`--cache-to` and `--cache-from` as typed values (BuildKit's and buildx's grammar)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from lamina.base.booleans import parse_bool
from lamina.base.digest import Digest, parse_digest
from lamina.base.errors import InvalidInput, Unsupported
from lamina.base.named_tuple import NamedTuple
from lamina.base.reference import Reference, parse_reference
from lamina.layers.compression import Compression, parse_compression

if TYPE_CHECKING:
    from collections.abc import Mapping


class Mounts(NamedTuple):
    """The included cache mounts: none, `every` one of the build, or those in `ids`."""

    every: bool = False
    ids: tuple[str, ...] = ()

    def takes(self, name: str) -> bool:
        """Whether the mount of this name is included."""
        return self.every or name in self.ids

    def __bool__(self) -> bool:
        return self.every or bool(self.ids)


class RegistryLocation(NamedTuple):
    """A name in a registry. `insecure` allows plain HTTP and unknown certificates."""

    reference: Reference
    insecure: bool = False


class FolderLocation(NamedTuple):
    """A tag, or for reading a digest, in an OCI layout."""

    path: str
    tag: str = "latest"
    digest: Digest | None = None


class ClientLocation(NamedTuple):
    """A content store that a client provides under a name; `digest` is the manifest to import."""

    store: str
    digest: Digest | None = None


class InlineLocation(NamedTuple):
    """The image itself."""


CacheLocation = RegistryLocation | FolderLocation | ClientLocation | InlineLocation


class CacheExport(NamedTuple):
    """One `--cache-to`. `every_step` is mode=max. `reset` removes all other content of a
    directory."""

    location: CacheLocation
    every_step: bool = False
    mounts: Mounts = Mounts()
    compression: Compression = Compression()
    force_compression: bool = False
    image_manifest: bool = True
    docker_types: bool = False
    must_succeed: bool = False
    reset: bool = False

    @property
    def inline(self) -> bool:
        """Whether the image contains the cache (inline)."""
        return isinstance(self.location, InlineLocation)


class CacheImport(NamedTuple):
    """One `--cache-from`."""

    location: RegistryLocation | FolderLocation | ClientLocation
    mounts: Mounts = Mounts()


class RefusedImport(NamedTuple):
    """A requested cache that cannot be imported, and the `reason`."""

    name: str
    reason: str


IMPORT_KEYS = frozenset(
    ("type", "mounts", "ref", "registry.insecure", "src", "digest", "tag"),
)
"""The attributes of `--cache-from`, of all types."""


def make_export(pairs: Mapping[str, str]) -> CacheExport:
    """Parse one `--cache-to`. Raises InvalidInput, Unsupported."""
    left = _Pairs("--cache-to", pairs)
    kind = left.take("type")
    mode = left.take("mode") or "min"
    if mode not in ("min", "max"):
        raise InvalidInput(f'--cache-to: mode must be min or max, not "{mode}"')
    mounts = left.mounts()
    # Unlike in BuildKit, a failed export does not fail the build, unless requested.
    must_succeed = not left.flag("ignore-error", True)
    if kind == "inline":
        left.finish(kind)
        if mounts:
            raise Unsupported(
                "--cache-to type=inline: cache mounts do not fit into an image's config",
                hint="export them with type=registry or type=local",
            )
        return CacheExport(InlineLocation(), must_succeed=must_succeed)
    docker_types = not left.flag("oci-mediatypes", True)
    image_manifest = left.flag("image-manifest", not docker_types)
    if image_manifest and docker_types:
        raise InvalidInput("--cache-to: image-manifest=true conflicts with oci-mediatypes=false")
    compression = parse_compression(left.take("compression"), left.take("compression-level"))
    forced = left.flag("force-compression")
    reset = kind == "local" and left.flag("reset")
    location = left.location(kind, "dest")
    left.finish(kind)
    return CacheExport(
        location,
        mode == "max",
        mounts,
        compression,
        forced,
        image_manifest,
        docker_types,
        must_succeed,
        reset,
    )


def make_import(pairs: Mapping[str, str]) -> CacheImport:
    """Parse one `--cache-from`. Raises InvalidInput, Unsupported."""
    left = _Pairs("--cache-from", pairs)
    kind = left.take("type")
    mounts = left.mounts()
    location = left.location(kind, "src")
    left.finish(kind)
    return CacheImport(location, mounts)


def make_location(
    flag: str, folder_key: str, pairs: Mapping[str, str]
) -> RegistryLocation | FolderLocation:
    """Parse only the location of a cache. Raises InvalidInput, Unsupported."""
    left = _Pairs(flag, pairs)
    kind = left.take("type")
    location = left.location(kind, folder_key)
    left.finish(kind)
    return location


class _Pairs:
    def __init__(self, flag: str, pairs: Mapping[str, str]) -> None:
        self._flag = flag
        self._pairs = dict(pairs)

    def take(self, key: str) -> str:
        return self._pairs.pop(key, "")

    def flag(self, key: str, default: bool = False) -> bool:
        value = self._pairs.pop(key, None)
        if value is None:
            return default
        chosen = parse_bool(value or "true")
        if chosen is None:
            raise InvalidInput(f'{self._flag}: {key} must be true or false, not "{value}"')
        return chosen

    def mounts(self) -> Mounts:
        value = self._pairs.pop("mounts", None)
        if value is None:
            return Mounts()
        every = parse_bool(value or "true")
        if every is not None:
            return Mounts(every)
        names = (name.strip().lstrip("/") for name in value.split(";"))
        return Mounts(False, tuple(filter(None, names)))

    def location(self, kind: str, folder_key: str) -> RegistryLocation | FolderLocation:
        match kind:
            case "registry":
                name = self.take("ref")
                insecure = self.flag("registry.insecure")
                if not name:
                    raise InvalidInput(
                        f"{self._flag} type=registry needs ref",
                        hint="for example ref=host/app:cache",
                    )
                return RegistryLocation(parse_reference(name), insecure)
            case "local":
                path = self.take(folder_key)
                if not path:
                    raise InvalidInput(f"{self._flag} type=local needs {folder_key}")
                digest = self.take("digest") if folder_key == "src" else ""
                return FolderLocation(
                    os.path.abspath(path),
                    self.take("tag") or "latest",
                    parse_digest(digest) if digest else None,
                )
            case "gha" | "s3" | "azblob":
                raise Unsupported(
                    f"{self._flag} type={kind} is not supported yet",
                    hint="use type=registry or type=local",
                )
            case "inline":
                raise InvalidInput(
                    f"{self._flag} type=inline: import an inline cache by its image name",
                    hint="--cache-from type=registry,ref=IMAGE",
                )
        raise InvalidInput(
            f'{self._flag}: unknown type "{kind}"',
            hint="supported types are registry, local and inline",
        )

    def finish(self, kind: str) -> None:
        if self._pairs:
            keys = ", ".join(sorted(self._pairs))
            raise InvalidInput(f"{self._flag}: type={kind} does not support {keys}")

"""`--cache-to` and `--cache-from` as typed values (BuildKit's and buildx's grammar)."""

from __future__ import annotations

import os
from enum import Enum
from typing import TYPE_CHECKING

from lamina.base.booleans import parse_bool
from lamina.base.digest import Digest, parse_digest
from lamina.base.errors import InvalidInput, Unsupported
from lamina.base.named_tuple import NamedTuple
from lamina.base.reference import Reference, parse_reference
from lamina.cacheio.attributes import Attributes
from lamina.layers.compression import Compression, parse_compression

if TYPE_CHECKING:
    from collections.abc import Mapping

EXPORT_TIMEOUT = 600.0
"""The seconds that an export may take: as long as BuildKit lets one in the Actions cache take."""


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

    @property
    def label(self) -> str:
        """Its name in messages."""
        return self.reference.familiar

    @property
    def title(self) -> str:
        """The kind of its backend in messages (BuildKit)."""
        return "registry"


class FolderLocation(NamedTuple):
    """A tag, or for reading a digest, in an OCI layout."""

    path: str
    tag: str = "latest"
    digest: Digest | None = None

    @property
    def label(self) -> str:
        """Its name in messages."""
        return self.path

    @property
    def title(self) -> str:
        """The kind of its backend in messages (BuildKit)."""
        return "client directory"


class ClientLocation(NamedTuple):
    """A content store that a client provides under a name; `digest` is the manifest to import."""

    store: str
    digest: Digest | None = None

    @property
    def label(self) -> str:
        """Its name in messages."""
        return self.store.partition(":")[2] or self.store

    @property
    def title(self) -> str:
        """The kind of its backend in messages (BuildKit)."""
        return "client directory"


class InlineLocation(NamedTuple):
    """The image itself."""

    @property
    def label(self) -> str:
        """Its name in messages."""
        return "inline"


if TYPE_CHECKING:
    from lamina.cacheio.object_options import ObjectLocation

    StoredLocation = RegistryLocation | FolderLocation | ObjectLocation
    BackendLocation = StoredLocation | ClientLocation
    CacheLocation = BackendLocation | InlineLocation


class ExportMode(Enum):
    """Which results are exported."""

    MIN = "min"
    """Those that the result of the build is based on."""
    MAX = "max"
    """Those of every step."""
    AUTO = "auto"
    """As `MIN`, and each other result that takes longer to make than to move."""


class CacheExport(NamedTuple):
    """One `--cache-to`. `reset` removes all other content of a
    directory. The export ends after `timeout` seconds."""

    location: CacheLocation
    mode: ExportMode = ExportMode.MIN
    mounts: Mounts = Mounts()
    compression: Compression = Compression()
    force_compression: bool = False
    image_manifest: bool = True
    docker_types: bool = False
    must_succeed: bool = False
    reset: bool = False
    timeout: float = EXPORT_TIMEOUT

    @property
    def inline(self) -> bool:
        """Whether the image contains the cache (inline)."""
        return isinstance(self.location, InlineLocation)


class CacheImport(NamedTuple):
    """One `--cache-from`."""

    location: BackendLocation
    mounts: Mounts = Mounts()


class RefusedImport(NamedTuple):
    """A requested cache that cannot be imported, and the `reason`."""

    name: str
    reason: str


IMPORT_KEYS = frozenset(
    ("type", "mounts", "ref", "registry.insecure", "src", "digest", "tag"),
)
"""The attributes of `--cache-from`, except those of object stores."""


def make_export(pairs: Mapping[str, str]) -> CacheExport:
    """Parse one `--cache-to`. Raises InvalidInput, Unsupported."""
    left = Attributes("--cache-to", pairs)
    kind = left.take("type")
    mode = left.take("mode") or "min"
    if mode not in ("min", "max", "auto"):
        raise InvalidInput(f'--cache-to: mode must be min, max or auto, not "{mode}"')
    mounts = _mounts(left)
    # Unlike in BuildKit, a failed export does not fail the build, unless requested.
    must_succeed = not left.boolean("ignore-error", True)
    timeout = left.seconds("export-timeout", EXPORT_TIMEOUT)
    if kind == "inline":
        left.finish(kind)
        if mounts:
            raise Unsupported(
                "--cache-to type=inline: cache mounts do not fit into an image's config",
                hint="export them with type=registry or type=local",
            )
        return CacheExport(InlineLocation(), must_succeed=must_succeed)
    docker_types = not left.boolean("oci-mediatypes", True)
    image_manifest = left.boolean("image-manifest", not docker_types)
    if image_manifest and docker_types:
        raise InvalidInput("--cache-to: image-manifest=true conflicts with oci-mediatypes=false")
    compression = parse_compression(left.take("compression"), left.take("compression-level"))
    forced = left.boolean("force-compression")
    reset = kind == "local" and left.boolean("reset")
    location = _location(left, kind, "dest")
    left.finish(kind)
    return CacheExport(
        location,
        ExportMode(mode),
        mounts,
        compression,
        forced,
        image_manifest,
        docker_types,
        must_succeed,
        reset,
        timeout,
    )


def make_import(pairs: Mapping[str, str]) -> CacheImport:
    """Parse one `--cache-from`. Raises InvalidInput, Unsupported."""
    left = Attributes("--cache-from", pairs)
    kind = left.take("type")
    mounts = _mounts(left)
    location = _location(left, kind, "src")
    left.finish(kind)
    return CacheImport(location, mounts)


def make_location(flag: str, folder_key: str, pairs: Mapping[str, str]) -> StoredLocation:
    """Parse only the location of a cache. Raises InvalidInput, Unsupported."""
    left = Attributes(flag, pairs)
    kind = left.take("type")
    location = _location(left, kind, folder_key)
    left.finish(kind)
    return location


def _mounts(left: Attributes) -> Mounts:
    value = left.optional("mounts")
    if value is None:
        return Mounts()
    every = parse_bool(value or "true")
    if every is not None:
        return Mounts(every)
    names = (name.strip().lstrip("/") for name in value.split(";"))
    return Mounts(False, tuple(filter(None, names)))


def _location(left: Attributes, kind: str, folder_key: str) -> StoredLocation:
    match kind:
        case "registry":
            name = left.take("ref")
            insecure = left.boolean("registry.insecure")
            if not name:
                raise InvalidInput(
                    f"{left.flag} type=registry needs ref", hint="for example ref=host/app:cache"
                )
            return RegistryLocation(parse_reference(name), insecure)
        case "local":
            path = left.take(folder_key)
            if not path:
                raise InvalidInput(f"{left.flag} type=local needs {folder_key}")
            digest = left.take("digest") if folder_key == "src" else ""
            return FolderLocation(
                os.path.abspath(path),
                left.take("tag") or "latest",
                parse_digest(digest) if digest else None,
            )
        case "gha" | "s3" | "azblob" | "gcs":
            from lamina.cacheio.object_options import object_location

            return object_location(kind, left, writes=folder_key == "dest")
        case "inline":
            raise InvalidInput(
                f"{left.flag} type=inline: import an inline cache by its image name",
                hint="--cache-from type=registry,ref=IMAGE",
            )
    raise InvalidInput(
        f'{left.flag}: unknown type "{kind}"',
        hint="supported types are registry, local, inline, s3, azblob, gcs and gha",
    )

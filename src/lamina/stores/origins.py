"""Origins: where the blob of a layer can be fetched from if the store lacks it.

A blob can have many origins, because images, caches and layouts share layers. The one that was
resolved last is tried first. One that fails is not tried again until it is resolved again.
"""

from __future__ import annotations

import threading
import time
from enum import Enum
from typing import TYPE_CHECKING, Protocol

from lamina.base.errors import InvalidInput
from lamina.base.named_tuple import NamedTuple
from lamina.base.reference import parse_reference

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lamina.base.digest import Digest
    from lamina.stores.database import Database


class OriginKind(Enum):
    """The kind of an origin. The values are stored in the database."""

    IMAGE = "image"
    """An image in a registry; the location is its reference."""
    CACHE = "cache"
    """A build cache in a registry; the location is its reference."""
    LAYOUT = "layout"
    """An OCI layout on this machine; the location is its directory."""
    STORE = "store"
    """A build cache in an object store that a build has opened; the location is its address. It is
    not recorded in the database, which has no credentials for it."""
    CLIENT = "client"
    """A content store that a client serves in its session; the location is the store's name."""


class Origin(NamedTuple):
    kind: OriginKind
    location: str

    @property
    def text(self) -> str:
        """`kind:location`, as stored in the database."""
        return f"{self.kind.value}:{self.location}"

    @property
    def reference(self) -> str:
        """The name in a registry; "" if the blob is not in a registry."""
        return self.location if self.kind in (OriginKind.IMAGE, OriginKind.CACHE) else ""

    def __str__(self) -> str:
        """The location for display: a reference without its digest, or a directory."""
        return self.location.partition("@")[0] if self.reference else self.location


def parse_origin(text: str) -> Origin | None:
    """Parse `Origin.text`. None if it is invalid."""
    kind, _, location = text.partition(":")
    if not location:
        return None
    try:
        origin = Origin(OriginKind(kind), location)
        if origin.reference:
            parse_reference(origin.reference)
    except (ValueError, InvalidInput):
        return None
    return origin


class LayerOrigins(Protocol):
    """The origins that the current build may use.

    The build is that of the current context (see `lamina.engine.registries`): a client never gets
    an origin that only another client resolved.
    """

    def of(self, blob: Digest) -> Sequence[Origin]:
        """The origins of a blob, in the order in which to try them."""
        ...

    def add(self, blobs: Iterable[Digest], origin: Origin) -> None:
        """Record that `origin` was just resolved and has these blobs."""
        ...

    def remove(self, blob: Digest, origin: Origin, *, for_good: bool) -> None:
        """Do not use `origin` for a blob until it is added again.

        `for_good`: the origin does not have the blob, so it is removed for other processes too.
        """
        ...


class OriginList:
    """Origins in memory, the newest of a blob first. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._origins: dict[Digest, tuple[Origin, ...]] = {}

    def of(self, blob: Digest) -> tuple[Origin, ...]:
        with self._lock:
            return self._origins.get(blob, ())

    def add(self, blobs: Iterable[Digest], origin: Origin) -> list[Digest]:
        """Make `origin` the first. Returns the blobs for which it was not the first before."""
        changed = []
        with self._lock:
            for blob in blobs:
                known = self._origins.get(blob, ())
                if known[:1] != (origin,):
                    others = tuple(item for item in known if item != origin)
                    self._origins[blob] = (origin, *others)
                    changed.append(blob)
        return changed

    def remove(self, blob: Digest, origin: Origin) -> None:
        with self._lock:
            known = self._origins.get(blob, ())
            self._origins[blob] = tuple(item for item in known if item != origin)


class OriginTable:
    """Origins in the database, for processes whose builds all use the machine's credentials.

    Implements `LayerOrigins`.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._resolved = OriginList()
        self._lock = threading.Lock()
        self._failed: set[tuple[Digest, Origin]] = set()

    def of(self, blob: Digest) -> Sequence[Origin]:
        resolved = self._resolved.of(blob)
        with self._lock:
            return tuple(
                origin
                for origin in dict.fromkeys((*resolved, *self._recorded(blob)))
                if (blob, origin) not in self._failed
            )

    def add(self, blobs: Iterable[Digest], origin: Origin) -> None:
        changed = self._resolved.add(blobs, origin)
        if not changed:
            return
        with self._lock:
            self._failed.difference_update((blob, origin) for blob in changed)
        if origin.kind is OriginKind.STORE:
            return
        stale = [blob for blob in changed if self._recorded(blob)[:1] != [origin]]
        if stale:
            now = time.time()
            with self._database.write() as connection:
                connection.executemany(
                    "INSERT OR REPLACE INTO layer_origins (digest, origin, resolved)"
                    " VALUES (?, ?, ?)",
                    [(blob, origin.text, now) for blob in stale],
                )

    def remove(self, blob: Digest, origin: Origin, *, for_good: bool) -> None:
        self._resolved.remove(blob, origin)
        if for_good:
            with self._database.write() as connection:
                connection.execute(
                    "DELETE FROM layer_origins WHERE digest = ? AND origin = ?",
                    (blob, origin.text),
                )
        else:
            with self._lock:
                self._failed.add((blob, origin))

    def _recorded(self, blob: Digest) -> list[Origin]:
        rows = self._database.rows(
            "SELECT origin FROM layer_origins WHERE digest = ? ORDER BY resolved DESC", blob
        )
        origins = [parse_origin(text) for (text,) in rows]
        return [origin for origin in origins if origin is not None]

"""The names of stored images, and the cached answers of registries about tags."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from lamina.base.digest import Digest
from lamina.base.errors import NotFound
from lamina.base.named_tuple import NamedTuple
from lamina.base.oci import Descriptor

if TYPE_CHECKING:
    from lamina.stores.database import Database

NAMELESS = "<none>@"
"""The prefix of the names of images without a name; their digest follows."""


class StoredImage(NamedTuple):
    """`name` is a full reference, or `<none>@sha256:…` for an image without one."""

    name: str
    target: Descriptor
    created: float


class Pull(NamedTuple):
    """The cached answer of a registry for a name: its digest, and the platform's manifest."""

    digest: Digest
    manifest: Digest
    checked: float


class ImageTable:
    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> list[StoredImage]:
        rows = self._database.rows(
            "SELECT name, media_type, digest, size, created FROM images ORDER BY created DESC, name"
        )
        return [StoredImage(n, Descriptor(m, Digest(d), s), c) for n, m, d, s, c in rows]

    def get(self, name: str) -> StoredImage | None:
        row = self._database.row(
            "SELECT name, media_type, digest, size, created FROM images WHERE name = ?", name
        )
        if row is None:
            return None
        return StoredImage(row[0], Descriptor(row[1], Digest(row[2]), row[3]), row[4])

    def put(self, name: str, target: Descriptor) -> None:
        with self._database.write() as connection:
            connection.execute(
                "INSERT INTO images (name, media_type, digest, size, created, boot)"
                " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET"
                " media_type = excluded.media_type, digest = excluded.digest,"
                " size = excluded.size, created = excluded.created, boot = excluded.boot"
                " WHERE digest != excluded.digest",
                (
                    name,
                    target.media_type,
                    target.digest,
                    target.size,
                    time.time(),
                    self._database.boot,
                ),
            )

    def remove(self, name: str) -> None:
        """Remove a name. Raises NotFound."""
        with self._database.write() as connection:
            if not connection.execute("DELETE FROM images WHERE name = ?", (name,)).rowcount:
                raise NotFound(f"no image named {name}", hint="`lamina images` lists them")

    def remove_nameless(self, digest: str) -> bool:
        """Remove an image without a name. Returns whether it existed. Names of it stay."""
        with self._database.write() as connection:
            name = f"{NAMELESS}{digest}"
            return connection.execute("DELETE FROM images WHERE name = ?", (name,)).rowcount > 0

    def forget_names(self) -> None:
        """Remove all names. The next prune removes what the images are made of."""
        with self._database.write() as connection:
            connection.execute(
                "DELETE FROM images WHERE substr(name, 1, ?) != ?", (len(NAMELESS), NAMELESS)
            )

    def pull(self, name: str, platform: str) -> Pull | None:
        row = self._database.row(
            "SELECT digest, manifest, checked FROM pulls WHERE name = ? AND platform = ?",
            name,
            platform,
        )
        return Pull(Digest(row[0]), Digest(row[1]), row[2]) if row else None

    def known(self, repository: str, digest: Digest) -> bool:
        """Whether this digest is known to be in a repository."""
        row = self._database.row(
            "SELECT 1 FROM (SELECT name, digest FROM images UNION SELECT name, digest FROM pulls"
            " UNION SELECT name, manifest FROM pulls) WHERE digest = ?1 AND"
            " substr(name, 1, length(?2) + 1) IN (?2 || ':', ?2 || '@') LIMIT 1",
            digest,
            repository,
        )
        return row is not None

    def record_pull(self, name: str, platform: str, digest: Digest, manifest: Digest) -> None:
        with self._database.write() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO pulls (name, platform, digest, manifest, checked)"
                " VALUES (?, ?, ?, ?, ?)",
                (name, platform, digest, manifest, time.time()),
            )

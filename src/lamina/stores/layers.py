"""Packed forms of states: which blob is the difference of which state from its parent."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from lamina.base.digest import Digest
from lamina.base.oci import Descriptor

if TYPE_CHECKING:
    from lamina.stores.database import Database


CACHE = "cache:"
FOLDER = "folder:"
LENT = "lent:"


class Layer(NamedTuple):
    """One packed form.

    `recipe` names the compression and level that made it, empty for a blob that came from
    outside; `origin` where the blob can be had if the store lacks it: an image's name, or
    `cache:` and the name of a cache, or `folder:` and the path of an OCI layout, or `lent:` and
    a store of the client's, which has it while the client is there.
    """

    descriptor: Descriptor
    diff_id: Digest
    recipe: str = ""
    origin: str = ""

    @property
    def home(self) -> str:
        """The name of something in a registry that has the blob, "" if none does."""
        return "" if self.origin.startswith((FOLDER, LENT)) else self.origin.removeprefix(CACHE)


_DATED = "@"


def dated_recipe(recipe: str, epoch: int) -> str:
    """What a layer is recorded under whose times were cut off at `epoch`."""
    return f"{recipe}{_DATED}{epoch}"


class LayerTable:
    def __init__(self, database: Database) -> None:
        self._database = database

    def of(self, snapshot: int) -> list[Layer]:
        """The packed forms of a state, those that came from outside first."""
        return [layer for layer in self._all(snapshot) if _DATED not in layer.recipe]

    def dated(self, snapshot: int, recipe: str, epoch: int) -> Layer | None:
        """The form of a state whose times were cut off at `epoch`, if it was made.

        It is not what the state is, so it never stands for it: only for being exported.
        """
        wanted = dated_recipe(recipe, epoch)
        return next((layer for layer in self._all(snapshot) if layer.recipe == wanted), None)

    def _all(self, snapshot: int) -> list[Layer]:
        rows = self._database.rows(
            "SELECT media_type, digest, size, diff_id, recipe, origin FROM layers"
            " WHERE snapshot = ? ORDER BY recipe, digest",
            snapshot,
        )
        return [
            Layer(Descriptor(m, Digest(d), size), Digest(diff_id), recipe, origin)
            for m, d, size, diff_id, recipe, origin in rows
        ]

    def by_digest(self, digest: Digest) -> Layer | None:
        """Any record of a blob as a layer, one that can deliver it first."""
        row = self._database.row(
            "SELECT media_type, digest, size, diff_id, recipe, origin FROM layers"
            " WHERE digest = ? ORDER BY origin DESC",
            digest,
        )
        if row is None:
            return None
        media_type, name, size, diff_id, recipe, origin = row
        return Layer(Descriptor(media_type, Digest(name), size), Digest(diff_id), recipe, origin)

    def add(self, snapshot: int, layer: Layer) -> None:
        with self._database.write() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO layers"
                " (snapshot, media_type, digest, size, diff_id, recipe, origin)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    snapshot,
                    layer.descriptor.media_type,
                    layer.descriptor.digest,
                    layer.descriptor.size,
                    layer.diff_id,
                    layer.recipe,
                    layer.origin,
                ),
            )

"""Layers: which blobs are the difference of a snapshot from its parent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.digest import Digest
from lamina.base.named_tuple import NamedTuple
from lamina.base.oci import Descriptor

if TYPE_CHECKING:
    from lamina.stores.database import Database


class Layer(NamedTuple):
    """A layer of a snapshot; it can have several, which differ in their compression.

    `recipe` is the compression and level that made it, "" for a blob that came from outside. See
    `lamina.stores.origins` for where the blob can be fetched from.
    """

    descriptor: Descriptor
    diff_id: Digest
    recipe: str = ""


_DATED = "@"


def dated_recipe(recipe: str, epoch: int) -> str:
    """The recipe of a layer whose times are clamped to `epoch`."""
    return f"{recipe}{_DATED}{epoch}"


class LayerTable:
    def __init__(self, database: Database) -> None:
        self._database = database

    def of(self, snapshot: int) -> list[Layer]:
        """The layers of a snapshot; those that came from outside are first."""
        return [layer for layer in self._all(snapshot) if _DATED not in layer.recipe]

    def dated(self, snapshot: int, recipe: str, epoch: int) -> Layer | None:
        """The layer of a snapshot whose times are clamped to `epoch`, if it was made.

        It differs from the snapshot, so it is only exported, and never unpacked.
        """
        wanted = dated_recipe(recipe, epoch)
        return next((layer for layer in self._all(snapshot) if layer.recipe == wanted), None)

    def _all(self, snapshot: int) -> list[Layer]:
        rows = self._database.rows(
            "SELECT media_type, digest, size, diff_id, recipe FROM layers"
            " WHERE snapshot = ? ORDER BY recipe, digest",
            snapshot,
        )
        return [
            Layer(Descriptor(m, Digest(d), size), Digest(diff_id), recipe)
            for m, d, size, diff_id, recipe in rows
        ]

    def add(self, snapshot: int, layer: Layer) -> None:
        with self._database.write() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO layers"
                " (snapshot, media_type, digest, size, diff_id, recipe) VALUES (?, ?, ?, ?, ?, ?)",
                (
                    snapshot,
                    layer.descriptor.media_type,
                    layer.descriptor.digest,
                    layer.descriptor.size,
                    layer.diff_id,
                    layer.recipe,
                ),
            )

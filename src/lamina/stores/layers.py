"""Packed forms of states: which blob is the difference of which state from its parent."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from lamina.base.digest import Digest
from lamina.base.oci import Descriptor

if TYPE_CHECKING:
    from lamina.stores.database import Database


class Layer(NamedTuple):
    """One packed form.

    `recipe` names the compression and level that made it, empty for a blob that came from
    outside. Where the blob can be fetched from is known to `lamina.stores.origins`.
    """

    descriptor: Descriptor
    diff_id: Digest
    recipe: str = ""


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

"""States whose files are lost: made again from a layer, or forgotten so that the step runs again."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lamina.stores.database import Database


def forget_directory(database: Database, directory: str) -> set[int]:
    """Record that a directory below `snapshots/` is not there.

    States with a layer are laid out again when somebody needs them. Of the others, and of all
    that was made on top of them, the results are forgotten; returns their ids.
    """
    with database.write() as connection:
        lost = {
            row[0]
            for row in connection.execute(
                "WITH RECURSIVE lost (id) AS ("
                " SELECT id FROM snapshots s WHERE directory = ? AND NOT EXISTS"
                " (SELECT 1 FROM layers l WHERE l.snapshot = s.id AND l.recipe NOT LIKE '%@%')"
                " UNION SELECT s.id FROM snapshots s JOIN lost ON s.parent = lost.id)"
                " SELECT id FROM lost",
                (directory,),
            )
        }
        connection.execute(
            "UPDATE snapshots SET directory = NULL WHERE directory = ?", (directory,)
        )
        states = [(snapshot,) for snapshot in lost]
        connection.executemany("DELETE FROM results WHERE snapshot = ?", states)
        connection.executemany("UPDATE snapshots SET chain = NULL WHERE id = ?", states)
    return lost

"""States whose files or layers are lost: made again from what is left, or else forgotten, so that
their steps run again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lamina.base.digest import Digest

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

    from lamina.stores.store import Store

# Layers that were made here and have no other home. Others are fetched from where they came.
_MADE_HERE = "recipe != '' AND NOT EXISTS (SELECT 1 FROM layer_origins o WHERE o.digest = l.digest)"


def forget_directory(store: Store, directory: str) -> set[int]:
    """Record that a directory below `snapshots/` is not there.

    States with a layer are laid out again when somebody needs them. Returns the ids of those
    without, and of all that was made on top of them: their results are forgotten.
    """
    with store.database.write() as connection:
        states = _column(connection, "SELECT id FROM snapshots WHERE directory = ?", directory)
        connection.executemany(
            "UPDATE snapshots SET directory = NULL WHERE id = ?", [(state,) for state in states]
        )
        for state in states:
            made = f"SELECT digest FROM layers l WHERE snapshot = ? AND {_MADE_HERE}"
            for digest in _column(connection, made, state):
                if not store.blobs.has(Digest(digest)):
                    connection.execute("DELETE FROM layers WHERE digest = ?", (digest,))
        return _forget(connection, states)


def forget_blob(store: Store, digest: Digest) -> set[int]:
    """Record that a layer's blob is not there. States with files are packed again when somebody
    needs that. Returns the ids of those that are lost, as `forget_directory`."""
    with store.database.write() as connection:
        states = _column(connection, "SELECT snapshot FROM layers WHERE digest = ?", digest)
        connection.execute(f"DELETE FROM layers AS l WHERE digest = ? AND {_MADE_HERE}", (digest,))
        return _forget(connection, states)


def lost_blobs(store: Store) -> list[Digest]:
    """Layers that were made here, and whose blobs are not here any more."""
    rows = store.database.rows(f"SELECT DISTINCT digest FROM layers l WHERE {_MADE_HERE}")
    return [Digest(digest) for (digest,) in rows if not store.blobs.has(Digest(digest))]


def _forget(connection: sqlite3.Connection, states: Iterable[int]) -> set[int]:
    """Forget the results of those states that have neither files nor a layer, and of all on top."""
    lost: set[int] = set()
    todo = [
        state
        for state in states
        if _column(
            connection,
            "SELECT id FROM snapshots s WHERE id = ? AND directory IS NULL AND NOT EXISTS"
            " (SELECT 1 FROM layers l WHERE l.snapshot = s.id AND instr(recipe, '@') = 0)",
            state,
        )
    ]
    while todo:
        state = todo.pop()
        if state not in lost:
            lost.add(state)
            todo += _column(connection, "SELECT id FROM snapshots WHERE parent = ?", state)
    rows = [(state,) for state in lost]
    connection.executemany("DELETE FROM results WHERE snapshot = ?", rows)
    connection.executemany("UPDATE snapshots SET chain = NULL WHERE id = ?", rows)
    return lost


def _column(connection: sqlite3.Connection, sql: str, value: object) -> list[Any]:
    return [row[0] for row in connection.execute(sql, (value,))]

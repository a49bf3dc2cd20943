"""The evidence of failed builds: the snapshots of a failed step's mounts, as the command left them.

Records keep them from being pruned. The sizes of what the commands had changed count as sizes of
the records, so the retention limits them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.named_tuple import NamedTuple
from lamina.base.redact import redacted_values
from lamina.llb.codec import decode_op, encode_op
from lamina.refs.ref import Ref
from lamina.system.tree_size import tree_size

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lamina.base.errors import FailedStep
    from lamina.llb.op import Op
    from lamina.stores.database import Database
    from lamina.stores.store import Store


class Evidence(NamedTuple):
    """The step that made a build fail: its name, its op, and the snapshots of its mounts by their
    numbers, as far as they exist."""

    name: str
    op: Op
    snapshots: Mapping[int, int]


class EvidenceTable:
    """Evidence by the refs of builds. Usable from any thread and by several processes."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._database = store.database

    def put(self, ref: str, name: str, step: FailedStep) -> None:
        """Keep a failed step and its snapshots for a record that is stored."""
        if not step.data:
            return
        kept = {
            mount: result.snapshot
            for mount, result in enumerate(step.mounts)
            if isinstance(result, Ref) and result.snapshot is not None
        }
        before = {result.snapshot for result in step.inputs if isinstance(result, Ref)}
        size = sum(self._size(snapshot) for snapshot in set(kept.values()) - before)
        op = encode_op(redacted_values(decode_op(step.data)))
        with self._database.write() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO failed_steps (ref, name, op) VALUES (?, ?, ?)",
                (ref, name.encode("utf-8", "replace").decode(), op),
            )
            connection.executemany(
                "INSERT OR REPLACE INTO evidence (ref, mount, snapshot)"
                " SELECT ?1, ?2, ?3 WHERE EXISTS (SELECT 1 FROM snapshots WHERE id = ?3)",
                [(ref, mount, snapshot) for mount, snapshot in kept.items()],
            )
            connection.execute("UPDATE builds SET size = size + ? WHERE ref = ?", (size, ref))

    def of(self, ref: str) -> Evidence | None:
        """The evidence of a build, None if no step of it failed."""
        row = self._database.row("SELECT name, op FROM failed_steps WHERE ref = ?", ref)
        if row is None:
            return None
        rows = self._database.rows("SELECT mount, snapshot FROM evidence WHERE ref = ?", ref)
        return Evidence(row[0], decode_op(row[1]), dict(rows))

    def clear(self) -> None:
        """Keep no snapshot any longer."""
        with self._database.write() as connection:
            connection.execute("DELETE FROM evidence")

    def _size(self, snapshot: int) -> int:
        row = self._database.row("SELECT directory FROM snapshots WHERE id = ?", snapshot)
        if row is None or not row[0]:
            return 0
        return tree_size(self._store.path("snapshots", row[0]))


def evidence_snapshots(database: Database) -> set[int]:
    """All snapshots that are evidence."""
    return {snapshot for (snapshot,) in database.rows("SELECT DISTINCT snapshot FROM evidence")}

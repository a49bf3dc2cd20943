"""Checks a store: its database, leases, blobs, snapshots and images.

A blob must match its digest. A snapshot's files must be those of its layer; a snapshot that was
never packed has no layer to compare with.
"""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

from lamina.base.digest import Digest
from lamina.base.errors import Corrupt, LaminaError, from_os_error
from lamina.base.named_tuple import NamedTuple
from lamina.engine.host_setup import recorded_kind
from lamina.engine.maintenance.layer_check import same_tree, unpacked
from lamina.layers.compression import Algorithm, Compression
from lamina.layers.diff import changed_members, upper_members
from lamina.layers.pack import pack
from lamina.stores.images import ImageTable
from lamina.stores.layers import LayerTable
from lamina.stores.lost import forget_blob, forget_directory, lost_blobs
from lamina.stores.reachable import reachable
from lamina.stores.snapshots import SnapshotStore
from lamina.system.removal import discard_tree

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lamina.stores.layers import Layer
    from lamina.stores.snapshots import Snapshot
    from lamina.stores.store import Store
    from lamina.system.cancel import Cancellation
    from lamina.system.file_metadata import FileMetadata

_CHUNK = 1 << 20


class Damage(NamedTuple):
    """One damage. `remedy` is what repair does or did about it, "" if nothing."""

    subject: str
    problem: str
    remedy: str = ""


class CheckReport(NamedTuple):
    """The result of a check. `unverified` is the number of snapshots with files but without a
    layer."""

    blobs: int
    states: int
    unverified: int
    damages: tuple[Damage, ...]
    repaired: bool

    @property
    def sound(self) -> bool:
        """Whether there is no damage, or all of it is repaired."""
        return all(self.repaired and damage.remedy for damage in self.damages)


def check_store(
    store: Store,
    metadata: FileMetadata,
    cancel: Cancellation,
    *,
    repair: bool,
    found: Callable[[Damage], object],
) -> CheckReport:
    """Check a store that no build uses. `found` is called with each damage at once.

    With `repair`, damaged data is removed if it can be created or fetched again. Raises Unavailable
    if a build runs, Cancelled.
    """
    with store.exclusive(wait=False):
        return _Check(store, metadata, cancel, repair=repair, found=found).run()


class _Check:
    def __init__(
        self,
        store: Store,
        metadata: FileMetadata,
        cancel: Cancellation,
        *,
        repair: bool,
        found: Callable[[Damage], object],
    ) -> None:
        self._store = store
        self._metadata = metadata
        self._database = store.database
        self._snapshots = SnapshotStore(store)
        self._layers = LayerTable(store.database)
        self._cancel = cancel
        self._overlay = recorded_kind(store.root) != "native"
        self._repair = repair
        self._found = found
        self._damages: list[Damage] = []
        self._unverified = 0
        self._broken: set[int] = set()

    def run(self) -> CheckReport:
        self._check_database()
        self._check_leases()
        blobs = self._check_blobs()
        states = self._check_states()
        self._check_images()
        damages = tuple(self._damages)
        return CheckReport(blobs, states, self._unverified, damages, self._repair)

    def _note(self, subject: str, problem: str, remedy: str = "") -> None:
        damage = Damage(subject, problem, remedy)
        self._damages.append(damage)
        self._found(damage)

    def _check_database(self) -> None:
        for (problem,) in self._database.rows("PRAGMA integrity_check"):
            if problem != "ok":
                self._note("database", str(problem))
        for table, row, other, key in self._database.rows("PRAGMA foreign_key_check"):
            # For a table WITHOUT ROWID, SQLite does not name the row.
            name = "a row" if row is None else f"row {row}"
            self._note("database", f"{name} of {table} refers to no row of {other}", "removed")
            if self._repair:
                column, target = next(
                    (found[3], found[4])
                    for found in self._database.rows(f"PRAGMA foreign_key_list({table})")
                    if found[0] == key
                )
                with self._database.write() as connection:
                    connection.execute(
                        f"DELETE FROM {table} WHERE {column} NOT IN (SELECT {target} FROM {other})"
                    )
        self._check_parents()
        self._check_results()

    def _check_parents(self) -> None:
        """Find snapshots whose chain of parents is broken: a parent is missing, or there is a
        cycle."""
        broken = (
            "WITH RECURSIVE whole (id) AS (SELECT id FROM snapshots WHERE parent IS NULL"
            " UNION SELECT s.id FROM snapshots s JOIN whole ON s.parent = whole.id)"
            " SELECT id FROM snapshots WHERE id NOT IN (SELECT id FROM whole)"
        )
        self._broken = {row[0] for row in self._database.rows(broken)}
        for snapshot in sorted(self._broken):
            self._note(f"snapshot {snapshot}", "a parent of it is not recorded", "forgotten")
        if self._repair and self._broken:
            with self._database.write() as connection:
                for table, column in (("results", "snapshot"), ("snapshots", "id")):
                    connection.executemany(
                        f"DELETE FROM {table} WHERE {column} = ?",
                        [(snapshot,) for snapshot in self._broken],
                    )

    def _check_results(self) -> None:
        condition = (
            "snapshot NOT NULL AND NOT EXISTS"
            " (SELECT 1 FROM snapshots s WHERE s.id = results.snapshot)"
        )
        row = self._database.row(f"SELECT COUNT(*) FROM results WHERE {condition}")
        if row is not None and row[0]:
            self._note("database", f"{row[0]} results without a snapshot", "forgotten")
            if self._repair:
                with self._database.write() as connection:
                    connection.execute(f"DELETE FROM results WHERE {condition}")

    def _check_leases(self) -> None:
        """Find leases of dead processes. They keep nothing, but are never removed."""
        living = self._store.living()
        held = {row[0] for row in self._database.rows("SELECT DISTINCT process FROM leases")}
        for process in sorted(held - living):
            self._note("leases", f"process {process} is dead", "removed")
            if self._repair:
                with self._database.write() as connection:
                    connection.execute("DELETE FROM leases WHERE process = ?", (process,))

    def _check_blobs(self) -> int:
        count = 0
        for digest in sorted(self._store.blobs.digests()):
            self._cancel.check()
            count += 1
            problem = self._blob_problem(digest)
            if problem:
                self._note(f"blob {digest}", problem, "removed; created or fetched when needed")
                if self._repair:
                    self._store.blobs.remove(digest)
                    forget_blob(self._store, digest)
        for digest in lost_blobs(self._store):
            self._note(f"blob {digest}", "it is missing", "created again when needed")
            if self._repair:
                forget_blob(self._store, digest)
        return count

    def _blob_problem(self, digest: Digest) -> str:
        hashed = hashlib.new(digest.algorithm)
        try:
            with self._store.blobs.open(digest) as file:
                while chunk := file.read(_CHUNK):
                    self._cancel.check()
                    hashed.update(chunk)
        except OSError as error:
            return f"it cannot be read: {error.strerror}"
        return "" if hashed.hexdigest() == digest.hex else "it does not match its digest"

    def _check_states(self) -> int:
        """Compare all snapshots before any is removed: a snapshot is compared together with its
        parents."""
        count = 0
        damaged: list[str] = []
        known: dict[str, int] = dict(
            self._database.rows(
                "SELECT directory, MIN(id) FROM snapshots WHERE directory NOT NULL"
                " GROUP BY directory ORDER BY MIN(id)"
            )
        )
        for directory, snapshot in known.items():
            if snapshot in self._broken:
                continue
            self._cancel.check()
            count += 1
            subject = f"snapshot {snapshot} ({self._snapshots.description(snapshot) or 'no name'})"
            *below, state = self._snapshots.stack(snapshot)
            layers = self._layers.of(snapshot)
            remedy = "created again, from its layer or by its step, when needed"
            if not _is_name(directory) or not _is_directory(self._snapshots.files(state)):
                self._note(subject, "its files are missing", remedy)
            elif self._differs(state, below, layers):
                self._note(subject, "its files differ from its layer", remedy)
            else:
                continue
            damaged.append(directory)
        if self._repair:
            for directory in damaged:
                forget_directory(self._store, directory)
                if _is_name(directory):
                    discard_tree(self._store.path("snapshots", directory))
            self._snapshots = SnapshotStore(self._store)
        return count

    def _differs(self, state: Snapshot, below: Sequence[Snapshot], layers: Sequence[Layer]) -> bool:
        """Whether a snapshot's files are known to differ from its layer."""
        files = self._snapshots.files(state)
        lowers = [self._snapshots.files(lower) for lower in below if lower.directory]
        if len(lowers) < len(below) or not layers or not all(map(_is_directory, lowers)):
            self._unverified += 1
            return False
        try:
            if self._diff_id(files, lowers) in {layer.diff_id for layer in layers}:
                return False
            for layer in layers:
                if self._store.blobs.has(layer.descriptor.digest):
                    return not self._unpacks_to(layer, files, lowers)
        except Corrupt:
            return True
        except OSError as error:
            raise from_os_error(error, "check the files of a snapshot") from error
        self._unverified += 1
        return False

    def _diff_id(self, files: str, lowers: Sequence[str]) -> Digest:
        if self._overlay or not lowers:
            members = upper_members(files, lowers, self._metadata)
        else:
            members = changed_members(lowers[-1], files, self._metadata)
        return pack(members, _DiscardingSink(), Compression(Algorithm.NONE), self._cancel).diff_id

    def _unpacks_to(self, layer: Layer, files: str, lowers: Sequence[str]) -> bool:
        with unpacked(
            self._store, layer, lowers, self._cancel, self._metadata, overlay=self._overlay
        ) as expected:
            return same_tree(expected, files, self._cancel)

    def _check_images(self) -> None:
        blobs = self._store.blobs
        for image in ImageTable(self._database).all():
            self._cancel.check()
            missing = []
            try:
                wanted = reachable(blobs, image.target.digest) or {str(image.target.digest)}
                missing = [name for name in sorted(wanted) if not self._can_be_had(Digest(name))]
            except LaminaError as error:
                self._note(f"image {image.name}", error.reason)
            if missing:
                self._note(f"image {image.name}", f"blobs are missing: {', '.join(missing)}")

    def _can_be_had(self, digest: Digest) -> bool:
        """Whether a blob is here, or is a layer with an origin or with files to pack it from."""
        if self._store.blobs.has(digest):
            return True
        row = self._database.row(
            "SELECT 1 FROM layers l WHERE digest = ?1 AND (EXISTS"
            " (SELECT 1 FROM layer_origins o WHERE o.digest = ?1))",
            digest,
        )
        return row is not None


class _DiscardingSink:
    def write(self, chunk: bytes, /) -> None:
        """Discard the data: only the digest is needed."""


def _is_name(directory: str) -> bool:
    """Whether a recorded directory is a plain name in snapshots/, not a path elsewhere."""
    return "/" not in directory and directory not in ("", ".", "..")


def _is_directory(path: str) -> bool:
    return os.path.isdir(path) and not os.path.islink(path)

"""Build records in the store's database: encoded, with the columns they are chosen by beside."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from lamina.api.history import SCHEMA, BuildHistoryRecord
from lamina.base.digest import Digest, parse_digest
from lamina.base.errors import LaminaError
from lamina.daemon.history_filter import HistoryRow
from lamina.engine.maintenance.disk_usage import documents
from lamina.wire.protobuf import decode, encode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from lamina.api.descriptor import Descriptor
    from lamina.api.timestamp import Timestamp
    from lamina.stores.blobs import BlobStore
    from lamina.stores.database import Database

_ROW = "ref, created, completed, status, repository"
_AT_A_TIME = 200


class HistoryStore:
    """Records of finished builds, by ref. Usable from any thread."""

    def __init__(self, database: Database, blobs: BlobStore) -> None:
        self._database = database
        self._blobs = blobs

    def get(self, ref: str) -> BuildHistoryRecord | None:
        row = self._database.row("SELECT record FROM builds WHERE ref = ?", ref)
        if row is None:
            return None
        record: BuildHistoryRecord = decode(row[0], BuildHistoryRecord, SCHEMA)
        return record

    def put(self, record: BuildHistoryRecord) -> None:
        """Keep a record, and the blobs that it refers to."""
        created, completed = _seconds(record.created_at), _seconds(record.completed_at)
        with self._database.write() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO builds"
                " (ref, created, completed, status, repository, pinned, record)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    record.ref,
                    created,
                    completed,
                    status_of(record),
                    repository_of(record),
                    record.pinned,
                    encode(record, SCHEMA),
                ),
            )
            connection.execute("DELETE FROM build_blobs WHERE ref = ?", (record.ref,))
            connection.executemany(
                "INSERT OR IGNORE INTO build_blobs (ref, digest) VALUES (?, ?)",
                [(record.ref, digest) for digest in self._needed(record)],
            )

    def delete(self, ref: str) -> bool:
        """Forget a record; whether there was one. Its blobs go with the next collection."""
        with self._database.write() as connection:
            return bool(connection.execute("DELETE FROM builds WHERE ref = ?", (ref,)).rowcount)

    def drop_orphans(self) -> set[str]:
        """Forget records whose blobs were lost, as a power cut may do; their refs."""
        rows = self._database.rows("SELECT ref, digest FROM build_blobs")
        refs = {ref for ref, digest in rows if not self._blobs.has(Digest(digest))}
        for ref in refs:
            self.delete(ref)
        return refs

    def expire(self, max_age: float, max_entries: int) -> list[str]:
        """Forget unpinned records past `max_age` seconds but for the newest; their refs."""
        doomed = self._database.rows(
            "SELECT ref FROM builds WHERE NOT pinned AND completed < ? AND ref NOT IN"
            " (SELECT ref FROM builds WHERE NOT pinned ORDER BY completed DESC LIMIT ?)",
            time.time() - max_age,
            max_entries,
        )
        refs = [row[0] for row in doomed]
        if refs:
            with self._database.write() as connection:
                connection.executemany("DELETE FROM builds WHERE ref = ?", doomed)
        return refs

    def find(
        self, ref: str, matches: Callable[[HistoryRow], bool] | None, limit: int
    ) -> Iterator[bytes]:
        """Encoded records, the newest first.

        Args:
            ref: only this one, "" for all.
            matches: which of them, None for all.
            limit: at most so many, 0 for any number.
        """
        if ref:
            refs = self._refs(f"SELECT {_ROW} FROM builds WHERE ref = ?", (ref,), matches)
        elif matches is None:
            rows = self._database.rows(
                "SELECT ref FROM builds ORDER BY created DESC LIMIT ?", limit or -1
            )
            refs = [row[0] for row in rows]
        else:
            refs = self._refs(f"SELECT {_ROW} FROM builds ORDER BY created DESC", (), matches)
        if limit:
            refs = refs[:limit]
        for at in range(0, len(refs), _AT_A_TIME):
            yield from self._records(refs[at : at + _AT_A_TIME])

    def _needed(self, record: BuildHistoryRecord) -> set[str]:
        """The blobs that a record refers to, and what tells of its images: not their layers."""
        found = [record.logs, record.trace, record.external_error]
        images: set[str] = set()
        for result in (record.result, *(result for _, result in record.results)):
            if result is not None:
                found += result.attestations
                for made in result.results:
                    images |= self._documents(made.descriptor)
        return images | {descriptor.digest for descriptor in found if descriptor is not None}

    def _documents(self, descriptor: Descriptor | None) -> set[str]:
        if descriptor is None:
            return set()
        try:
            return documents(self._blobs, parse_digest(descriptor.digest))
        except LaminaError:
            return set()  # whatever it is, it is nothing that tells of other blobs

    def _refs(
        self,
        sql: str,
        values: tuple[str, ...],
        matches: Callable[[HistoryRow], bool] | None,
    ) -> list[str]:
        rows = (HistoryRow(*row) for row in self._database.rows(sql, *values))
        return [row.ref for row in rows if matches is None or matches(row)]

    def _records(self, refs: Sequence[str]) -> Iterator[bytes]:
        marks = ",".join("?" * len(refs))
        rows = self._database.rows(
            f"SELECT record FROM builds WHERE ref IN ({marks}) ORDER BY created DESC", *refs
        )
        for (record,) in rows:
            yield record


def status_of(record: BuildHistoryRecord) -> str:
    """As clients call it: `completed`, `error` or `canceled`."""
    if record.error is None:
        return "completed"
    return "canceled" if "context canceled" in record.error.message else "error"


def repository_of(record: BuildHistoryRecord) -> str:
    """Where the source is from: what the client says, or the context if that is a repository."""
    attributes = dict(record.frontend_attrs)
    if known := attributes.get("vcs:source"):
        return known
    context = attributes.get("context", "")
    from lamina.base.errors import InvalidInput
    from lamina.base.git_url import is_git_url, parse_git_url

    try:
        return parse_git_url(context).remote if is_git_url(context) else ""
    except InvalidInput:
        return ""


def _seconds(moment: Timestamp | None) -> float:
    return 0.0 if moment is None else moment.nanoseconds / 1_000_000_000

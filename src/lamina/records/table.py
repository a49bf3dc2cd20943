"""The records of builds in the store: encoded, beside the columns by which they are selected.

A build is inserted as `running` when it starts, with the process that runs it and the file of its
progress log. At its end the row is completed and the log becomes a blob. If the process dies, the
next one that reads or writes records completes the row from the file (`recover`).

    <root>/records/<name>   the progress log of a running build
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from lamina.api.history import SCHEMA, BuildHistoryRecord
from lamina.base.digest import Digest, parse_digest
from lamina.base.errors import LaminaError
from lamina.base.named_tuple import NamedTuple
from lamina.base.redact import redacted
from lamina.records.rows import ROW, RUNNING, RecordRow, read_rows
from lamina.wire.fields import integer
from lamina.wire.protobuf import decode, encode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from lamina.api.descriptor import Descriptor
    from lamina.api.timestamp import Timestamp
    from lamina.records.retention import Retention
    from lamina.stores.store import Store
    from lamina.wire.protobuf import Schema

_AT_A_TIME = 200


class StepCounts(NamedTuple):
    """The numbers of steps and warnings of a build: a part of its record that is cheap to read."""

    cached: int = 0
    total: int = 0
    completed: int = 0
    warnings: int = 0


_COUNTS: Schema = {
    StepCounts: (
        integer(15, "cached"),
        integer(16, "total"),
        integer(17, "completed"),
        integer(19, "warnings"),
    )
}


class References(NamedTuple):
    """The references of a progress log: digests of blobs, and of contents that steps read."""

    blobs: frozenset[str] = frozenset()
    contents: frozenset[str] = frozenset()


_NO_REFERENCES = References()


class RecordTable:
    """Records of builds, by ref. Usable from any thread and by several processes."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._database = store.database
        self._blobs = store.blobs

    def get(self, ref: str) -> BuildHistoryRecord | None:
        """The record of a build that runs or has ended."""
        row = self._database.row("SELECT record FROM builds WHERE ref = ?", ref)
        return None if row is None else _decoded(row[0])

    def row(self, ref: str) -> RecordRow | None:
        row = self._database.row(f"SELECT {ROW} FROM builds WHERE ref = ?", ref)
        return None if row is None else RecordRow(*row)

    def rows(self) -> list[RecordRow]:
        """All builds, the newest first."""
        return read_rows(self._database)

    def contexts(self) -> dict[str, str]:
        """The directory or the URL of each build's context, by ref; "" if it is not known."""
        rows = self._database.rows("SELECT ref, target FROM builds")
        return {ref: target.partition("\n")[2].partition("\n")[0] for ref, target in rows}

    def counts(self) -> dict[str, StepCounts]:
        """The numbers of steps of builds that have ended, by ref."""
        rows = self._database.rows("SELECT ref, record FROM builds WHERE status != ?", RUNNING)
        return {ref: decode(record, StepCounts, _COUNTS) for ref, record in rows}

    def blobs(self, ref: str) -> list[str]:
        """The digests of the blobs that a record and its log refer to."""
        rows = self._database.rows("SELECT digest FROM build_blobs WHERE ref = ?", ref)
        return [row[0] for row in rows]

    def contents(self, ref: str) -> list[str]:
        """The digests of the contents that steps of a build read."""
        rows = self._database.rows("SELECT digest FROM build_contents WHERE ref = ?", ref)
        return [row[0] for row in rows]

    def journal(self, ref: str) -> str:
        """The file of a running build's log in the directory `records`; "" if it does not run."""
        row = self._database.row("SELECT journal FROM builds WHERE ref = ?", ref)
        return "" if row is None else str(row[0])

    def target(self, ref: str) -> str:
        """The value that the records of comparable builds have in common (`target_of`); "" if there
        is none."""
        row = self._database.row("SELECT target FROM builds WHERE ref = ?", ref)
        return "" if row is None else str(row[0])

    def latest(self, target: str, before: float) -> BuildHistoryRecord | None:
        """The newest ended build of a target that started before `before`."""
        row = self._database.row(
            "SELECT record FROM builds WHERE target = ? AND created < ? AND status != ?"
            " ORDER BY created DESC LIMIT 1",
            _column(target),
            before,
            RUNNING,
        )
        return None if row is None else _decoded(row[0])

    def begin(self, record: BuildHistoryRecord, journal: str) -> None:
        """Insert the record of a build that starts. `journal` is the name of its log's file."""
        created = _seconds(record.created_at)
        with self._database.write() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO builds (ref, created, completed, status, repository, name,"
                " target, process, journal, record) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    record.ref,
                    created,
                    created,
                    RUNNING,
                    *_texts(record),
                    os.path.basename(self._store.scratch),
                    journal,
                    encode(record, SCHEMA),
                ),
            )

    def put(self, record: BuildHistoryRecord, references: References = _NO_REFERENCES) -> None:
        """Store the record of a build that has ended, and the references of it and its log."""
        created, completed = _seconds(record.created_at), _seconds(record.completed_at)
        with self._database.write() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO builds (ref, created, completed, status, repository, name,"
                " target, pinned, size, record) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    record.ref,
                    created,
                    completed,
                    status_of(record),
                    *_texts(record),
                    record.pinned,
                    sum(blob.size for blob in own_blobs(record)),
                    encode(record, SCHEMA),
                ),
            )
            connection.executemany(
                "INSERT OR IGNORE INTO build_blobs (ref, digest) VALUES (?, ?)",
                [(record.ref, digest) for digest in {*self._needed(record), *references.blobs}],
            )
            connection.executemany(
                "INSERT OR IGNORE INTO build_contents (ref, digest) VALUES (?, ?)",
                [(record.ref, digest) for digest in references.contents],
            )

    def pin(self, ref: str, pinned: bool) -> BuildHistoryRecord | None:
        """Set whether a record is kept regardless of its age. Returns it, None if there is none."""
        record = self.get(ref)
        if record is None:
            return None
        record = record._replace(pinned=pinned, generation=record.generation + 1)
        with self._database.write() as connection:
            connection.execute(
                "UPDATE builds SET pinned = ?, record = ? WHERE ref = ?",
                (pinned, encode(record, SCHEMA), ref),
            )
        return record

    def delete(self, ref: str) -> bool:
        """Delete a record. Returns whether there was one. The next collection removes its blobs."""
        with self._database.write() as connection:
            return bool(connection.execute("DELETE FROM builds WHERE ref = ?", (ref,)).rowcount)

    def drop_orphans(self) -> set[str]:
        """Delete records whose blobs were lost, for example by a power cut. Returns their refs."""
        rows = self._database.rows("SELECT ref, digest FROM build_blobs")
        refs = {ref for ref, digest in rows if not self._blobs.has(Digest(digest))}
        for ref in refs:
            self.delete(ref)
        return refs

    def expire(self, retention: Retention) -> list[str]:
        """Delete records by the retention. Returns their refs."""
        doomed = self._database.rows(
            "SELECT ref FROM builds WHERE NOT pinned AND status != ? AND completed < ?"
            " AND ref NOT IN"
            " (SELECT ref FROM builds WHERE NOT pinned ORDER BY completed DESC LIMIT ?)",
            RUNNING,
            time.time() - retention.max_age,
            retention.max_entries,
        )
        refs = [row[0] for row in doomed]
        refs += self._too_large(retention.max_size, frozenset(refs))
        if refs:
            with self._database.write() as connection:
                connection.executemany("DELETE FROM builds WHERE ref = ?", [(ref,) for ref in refs])
        return refs

    def claim_abandoned(self) -> list[tuple[str, str]]:
        """(ref, file of the log) of builds whose process died. Each is returned to one caller."""
        rows = self._database.rows("SELECT ref, process, journal FROM builds WHERE process != ''")
        if not rows:
            return []
        own = os.path.basename(self._store.scratch)
        living = self._store.living() | {own}
        claimed = []
        for ref, process, journal in rows:
            if process not in living:
                with self._database.write() as connection:
                    changed = connection.execute(
                        "UPDATE builds SET process = ? WHERE ref = ? AND process = ?",
                        (own, ref, process),
                    )
                    if changed.rowcount:
                        claimed.append((ref, journal))
        return claimed

    def find(
        self, ref: str, matches: Callable[[RecordRow], bool] | None, limit: int
    ) -> Iterator[bytes]:
        """Encoded records of builds that have ended, the newest first.

        Args:
            ref: only this one, "" for all.
            matches: selects records, None for all.
            limit: the maximum number, 0 for any.
        """
        ended = f"status != '{RUNNING}'"
        if ref:
            refs = self._refs(
                f"SELECT {ROW} FROM builds WHERE ref = ? AND {ended}", (ref,), matches
            )
        elif matches is None:
            rows = self._database.rows(
                f"SELECT ref FROM builds WHERE {ended} ORDER BY created DESC LIMIT ?", limit or -1
            )
            refs = [row[0] for row in rows]
        else:
            sql = f"SELECT {ROW} FROM builds WHERE {ended} ORDER BY created DESC"
            refs = self._refs(sql, (), matches)
        if limit:
            refs = refs[:limit]
        for at in range(0, len(refs), _AT_A_TIME):
            yield from self._records(refs[at : at + _AT_A_TIME])

    def _too_large(self, max_size: int, doomed: frozenset[str]) -> list[str]:
        """The oldest records, while the logs of all of them take more than `max_size` bytes."""
        if not max_size:
            return []
        rows = self._database.rows(
            "SELECT ref, size, pinned OR status = ? FROM builds ORDER BY completed", RUNNING
        )
        total = sum(size for ref, size, _ in rows if ref not in doomed)
        refs: list[str] = []
        for ref, size, kept in rows:
            if total <= max_size:
                break
            if not kept and ref not in doomed:
                refs.append(ref)
                total -= size
        return refs

    def _needed(self, record: BuildHistoryRecord) -> set[str]:
        """The blobs that a record refers to, and the documents of its images: not their layers."""
        found = own_blobs(record)
        images: set[str] = set()
        for result in (record.result, *(result for _, result in record.results)):
            if result is not None:
                found += result.attestations
                for made in result.results:
                    images |= self._documents(made.descriptor)
        return images | {descriptor.digest for descriptor in found}

    def _documents(self, descriptor: Descriptor | None) -> set[str]:
        if descriptor is None:
            return set()
        try:
            from lamina.stores.reachable import documents

            return documents(self._blobs, parse_digest(descriptor.digest))
        except LaminaError:
            return set()  # not an image: it refers to no other blobs

    def _refs(
        self,
        sql: str,
        values: tuple[str, ...],
        matches: Callable[[RecordRow], bool] | None,
    ) -> list[str]:
        rows = (RecordRow(*row) for row in self._database.rows(sql, *values))
        return [row.ref for row in rows if matches is None or matches(row)]

    def _records(self, refs: Sequence[str]) -> Iterator[bytes]:
        marks = ",".join("?" * len(refs))
        rows = self._database.rows(
            f"SELECT record FROM builds WHERE ref IN ({marks}) ORDER BY created DESC", *refs
        )
        for (record,) in rows:
            yield record


def _texts(record: BuildHistoryRecord) -> tuple[str, str, str]:
    """The columns `repository`, `name` and `target`: SQLite takes no names that are not UTF-8."""
    return _column(repository_of(record)), _column(name_of(record)), _column(target_of(record))


def _column(text: str) -> str:
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def row_of(record: BuildHistoryRecord) -> RecordRow:
    """The columns for a record, without passwords, which BuildKit records."""
    created = _seconds(record.created_at)
    ended = record.completed_at is not None
    repository, name, _ = _texts(record)
    return RecordRow(
        record.ref,
        created,
        _seconds(record.completed_at) if ended else created,
        status_of(record) if ended else RUNNING,
        redacted(repository),
        redacted(name),
        record.pinned,
    )


def own_blobs(record: BuildHistoryRecord) -> list[Descriptor]:
    """The blobs that no other record refers to."""
    return [blob for blob in (record.logs, record.trace, record.external_error) if blob is not None]


def named_blobs(record: BuildHistoryRecord) -> list[Descriptor]:
    """The blobs that a record names: its own, attestations, and the manifests of images."""
    found = own_blobs(record)
    for result in (record.result, *(result for _, result in record.results)):
        if result is not None:
            found += result.attestations
            found += [made.descriptor for made in result.results if made.descriptor is not None]
    return found


def status_of(record: BuildHistoryRecord) -> str:
    """The status for clients: `completed`, `error` or `canceled`."""
    if record.error is None:
        return "completed"
    return "canceled" if "context canceled" in record.error.message else "error"


def target_of(record: BuildHistoryRecord) -> str:
    """A text that is equal for builds of the same context, Dockerfile, target and platforms.

    "" for a definition without a frontend, which cannot be compared.
    """
    if not record.frontend:
        return ""
    attributes = dict(record.frontend_attrs)
    parts = [
        record.frontend,
        record.context_path
        or attributes.get("context")
        or attributes.get("vcs:source", "") + attributes.get("vcs:localdir:context", ""),
        record.dockerfile_path or attributes.get("filename", ""),
        attributes.get("target", ""),
        attributes.get("platform", ""),
    ]
    return "\n".join(parts)


def name_of(record: BuildHistoryRecord) -> str:
    """The name in lists: the context's last part or repository, the Dockerfile if it has another
    name, and the target in parentheses."""
    attributes = dict(record.frontend_attrs)
    name = (
        os.path.basename(record.context_path)
        or attributes.get("context", "")
        or attributes.get("vcs:source", "").rpartition("/")[2].removesuffix(".git")
    )
    dockerfile = attributes.get("filename", "")
    if dockerfile not in ("", "Dockerfile"):
        name = f"{name}/{dockerfile}" if name else dockerfile
    if target := attributes.get("target", ""):
        name = f"{name} ({target})" if name else target
    return name


def repository_of(record: BuildHistoryRecord) -> str:
    """The repository of the source: that which the client sent, or the context if it is a
    repository."""
    attributes = dict(record.frontend_attrs)
    if known := attributes.get("vcs:source"):
        return known
    context = attributes.get("context", "")
    if not context:
        return ""
    from lamina.base.errors import InvalidInput
    from lamina.base.git_url import is_git_url, parse_git_url

    try:
        return parse_git_url(context).remote if is_git_url(context) else ""
    except InvalidInput:
        return ""


def _decoded(data: bytes) -> BuildHistoryRecord:
    record: BuildHistoryRecord = decode(data, BuildHistoryRecord, SCHEMA)
    return record


def _seconds(moment: Timestamp | None) -> float:
    return 0.0 if moment is None else moment.nanoseconds / 1_000_000_000

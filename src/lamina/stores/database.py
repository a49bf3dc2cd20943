"""The metadata of the store: an SQLite file in WAL mode, shared by all lamina processes.

A killed process loses nothing that it committed, because the kernel has it. After a power cut a
row may have survived while its files were not written. So a row with files carries the boot in
which it was written, until a `syncfs` has completed (`settled = 1`). Rows of an earlier boot that
are not settled are deleted when the store is opened.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from lamina.base.errors import (
    FREE_SOME,
    Corrupt,
    Exhausted,
    LaminaError,
    PermissionDenied,
    Unavailable,
    from_os_error,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

SCHEMA_VERSION = 8
_INDEX_SIZE = 32 << 10  # bytes: what SQLite maps for up to 4,096 frames of the log
_DAMAGED = "move the store's directory away: lamina makes a new one, and builds fill it again"
_MAX_IDLE = 16  # idle connections that are kept

_SCHEMA = """
CREATE TABLE snapshots (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    parent INTEGER,              -- the snapshot below, or NULL
    directory TEXT,              -- snapshots/<directory>/ holds the files, or NULL: not laid out
    chain TEXT,                  -- OCI chain id of a snapshot made of pulled layers
    description TEXT NOT NULL DEFAULT '',
    size INTEGER NOT NULL DEFAULT 0,
    created REAL NOT NULL,
    used REAL NOT NULL,
    uses INTEGER NOT NULL DEFAULT 0,
    boot TEXT NOT NULL,
    settled INTEGER NOT NULL DEFAULT 0,
    made REAL                    -- when another machine made it, if one did
);
CREATE INDEX snapshots_by_parent ON snapshots (parent);
CREATE INDEX snapshots_by_chain ON snapshots (chain);
CREATE INDEX snapshots_by_directory ON snapshots (directory);

CREATE TABLE layers (            -- the differences of snapshots from their parents, packed
    snapshot INTEGER NOT NULL REFERENCES snapshots (id) ON DELETE CASCADE,
    media_type TEXT NOT NULL,
    digest TEXT NOT NULL,
    size INTEGER NOT NULL,
    diff_id TEXT NOT NULL,
    recipe TEXT NOT NULL DEFAULT '',  -- compression and level that made it; '' as it came
    PRIMARY KEY (snapshot, digest, recipe)
);
CREATE INDEX layers_by_digest ON layers (digest);

CREATE TABLE results (
    key TEXT NOT NULL,
    output INTEGER NOT NULL,
    snapshot INTEGER,            -- NULL: an empty file system
    PRIMARY KEY (key, output)
) WITHOUT ROWID;
CREATE INDEX results_by_snapshot ON results (snapshot);

CREATE TABLE cache_keys (        -- structure of keys, for cache export
    id TEXT PRIMARY KEY,
    digest TEXT NOT NULL,
    inputs TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE aliases (
    key TEXT PRIMARY KEY,
    canonical TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX aliases_by_canonical ON aliases (canonical);

CREATE TABLE images (
    name TEXT PRIMARY KEY,
    media_type TEXT NOT NULL,
    digest TEXT NOT NULL,
    size INTEGER NOT NULL,
    created REAL NOT NULL,
    boot TEXT NOT NULL,
    settled INTEGER NOT NULL DEFAULT 0
);

CREATE TABLE pulls (             -- what a name meant when a registry was last asked
    name TEXT NOT NULL,
    platform TEXT NOT NULL,
    digest TEXT NOT NULL,        -- of the manifest or index that the name points to
    manifest TEXT NOT NULL,      -- of the platform's manifest
    checked REAL NOT NULL,
    PRIMARY KEY (name, platform)
);

CREATE TABLE cache_mounts (
    id TEXT NOT NULL,            -- what the Dockerfile calls it, with its seed
    slot INTEGER NOT NULL,       -- 0, more for sharing=private, < 0 once given up
    directory TEXT NOT NULL,
    created REAL NOT NULL,
    used REAL NOT NULL,
    uses INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (id, slot)
);

CREATE TABLE leases (            -- snapshots that a living process is using
    process TEXT NOT NULL,       -- tmp/<process>.lock is held while it lives
    snapshot INTEGER NOT NULL,
    count INTEGER NOT NULL DEFAULT 1,
    PRIMARY KEY (process, snapshot)
) WITHOUT ROWID;
"""

_HISTORY = """
CREATE TABLE builds (            -- records of builds
    ref TEXT PRIMARY KEY,
    created REAL NOT NULL,
    completed REAL NOT NULL,
    status TEXT NOT NULL,        -- running, completed, error or canceled
    repository TEXT NOT NULL DEFAULT '',
    pinned INTEGER NOT NULL DEFAULT 0,
    record BLOB NOT NULL         -- moby.buildkit.v1.BuildHistoryRecord
) WITHOUT ROWID;
CREATE INDEX builds_by_created ON builds (created);
CREATE INDEX builds_by_completed ON builds (completed) WHERE NOT pinned;

CREATE TABLE build_blobs (       -- blobs that records of builds refer to
    ref TEXT NOT NULL REFERENCES builds (ref) ON DELETE CASCADE,
    digest TEXT NOT NULL,
    PRIMARY KEY (ref, digest)
) WITHOUT ROWID;
CREATE INDEX build_blobs_by_digest ON build_blobs (digest);
"""

_MOUNT_CACHES = """
CREATE TABLE mount_places (      -- caches elsewhere that a mount was imported from or sent to
    mount TEXT NOT NULL,         -- its id
    place TEXT NOT NULL,
    paths BLOB NOT NULL,         -- what both had then, packed
    imported INTEGER NOT NULL,   -- 1: the mount came from there
    synced REAL NOT NULL,
    PRIMARY KEY (mount, place)
) WITHOUT ROWID;
"""

_ORIGINS = """
CREATE TABLE layer_origins (     -- where a layer's blob can be fetched from
    digest TEXT NOT NULL,
    origin TEXT NOT NULL,        -- lamina.stores.origins.Origin.text
    resolved REAL NOT NULL,
    PRIMARY KEY (digest, origin)
) WITHOUT ROWID;
"""

# Before version 5 a layer had one origin. Layouts were recorded as `folder:` and their path, or
# by mistake as a path with tag and digest, which is dropped: the next build that uses the layout
# records it again. A content store of a client (`lent:`) is gone with the client.
_MOVE_ORIGINS = """
INSERT OR IGNORE INTO layer_origins
SELECT digest, CASE
    WHEN origin LIKE 'cache:%' THEN origin
    WHEN origin LIKE 'folder:%' THEN 'layout:' || substr(origin, 8)
    ELSE 'image:' || origin
END, 0 FROM layers
WHERE origin != '' AND origin NOT LIKE 'lent:%' AND origin NOT LIKE '/%';
ALTER TABLE layers DROP COLUMN origin;
UPDATE OR REPLACE mount_places SET place = 'layout:' || substr(place, 8)
WHERE place LIKE 'folder:%';
"""

# Before version 6 a snapshot had one row for a blob, whatever had made it. A layer that rewriting
# its times did not change took the place of the plain one.
_RECIPES = """
CREATE TABLE new_layers (
    snapshot INTEGER NOT NULL REFERENCES snapshots (id) ON DELETE CASCADE,
    media_type TEXT NOT NULL,
    digest TEXT NOT NULL,
    size INTEGER NOT NULL,
    diff_id TEXT NOT NULL,
    recipe TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (snapshot, digest, recipe)
);
INSERT INTO new_layers SELECT snapshot, media_type, digest, size, diff_id, recipe FROM layers;
DROP TABLE layers;
ALTER TABLE new_layers RENAME TO layers;
CREATE INDEX layers_by_digest ON layers (digest);
"""

# Before version 7 only daemons kept records, and only of builds that had ended. `name` is shown in
# lists; builds with an equal `target` are compared. While a build runs, `process` is its process,
# as in leases, and `journal` the file of its progress log. Later, `size` is the number of bytes of
# its log, trace and error.
_RUNNING_RECORDS = """
ALTER TABLE builds ADD COLUMN name TEXT NOT NULL DEFAULT '';
ALTER TABLE builds ADD COLUMN target TEXT NOT NULL DEFAULT '';
ALTER TABLE builds ADD COLUMN process TEXT NOT NULL DEFAULT '';
ALTER TABLE builds ADD COLUMN journal TEXT NOT NULL DEFAULT '';
ALTER TABLE builds ADD COLUMN size INTEGER NOT NULL DEFAULT 0;
DROP INDEX builds_by_created;
CREATE INDEX builds_listed       -- what lists show, in their order
    ON builds (created DESC, completed, status, repository, name, pinned);
CREATE INDEX builds_by_target ON builds (target, created);
CREATE INDEX builds_by_process ON builds (process) WHERE process != '';

CREATE TABLE build_contents (    -- contents that steps of a build read
    ref TEXT NOT NULL REFERENCES builds (ref) ON DELETE CASCADE,
    digest TEXT NOT NULL,
    PRIMARY KEY (ref, digest)
) WITHOUT ROWID;
CREATE INDEX build_contents_by_digest ON build_contents (digest);

CREATE TABLE contents (          -- manifests of the content that steps read
    digest TEXT PRIMARY KEY,     -- of the content, as in cache keys
    root TEXT NOT NULL           -- the node of its top folder
) WITHOUT ROWID;

CREATE TABLE content_nodes (     -- folders of manifests, each stored once
    digest TEXT PRIMARY KEY,
    data BLOB NOT NULL
);

CREATE TABLE pruned (            -- when results were removed, by key
    key TEXT PRIMARY KEY,
    removed REAL NOT NULL
) WITHOUT ROWID;
CREATE TRIGGER results_removed AFTER DELETE ON results
BEGIN INSERT OR REPLACE INTO pruned VALUES (old.key, (julianday('now') - 2440587.5) * 86400); END;
"""

_EVIDENCE = """
CREATE TABLE failed_steps (      -- the steps that made builds fail
    ref TEXT PRIMARY KEY REFERENCES builds (ref) ON DELETE CASCADE,
    name TEXT NOT NULL,
    op BLOB NOT NULL             -- encoded, without credentials
) WITHOUT ROWID;

CREATE TABLE evidence (          -- snapshots of the mounts of failed steps
    ref TEXT NOT NULL REFERENCES failed_steps (ref) ON DELETE CASCADE,
    mount INTEGER NOT NULL,      -- its number in the op
    snapshot INTEGER NOT NULL REFERENCES snapshots (id) ON DELETE CASCADE,
    PRIMARY KEY (ref, mount)
) WITHOUT ROWID;
CREATE INDEX evidence_by_snapshot ON evidence (snapshot);
"""

# The scripts that migrate a database from the previous version to each version.
_MIGRATIONS = {
    2: "ALTER TABLE snapshots ADD COLUMN made REAL",
    3: _HISTORY,
    4: _MOUNT_CACHES,
    5: _ORIGINS + _MOVE_ORIGINS,
    6: _RECIPES,
    7: _RUNNING_RECORDS,
    8: _EVIDENCE,
}


class Database:
    """Connections to `meta.db`. Thread-safe. Every method may raise a LaminaError.

    A thread has a connection for one statement or one transaction. A few idle connections are
    kept, so their number does not grow with the number of threads.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._transaction = threading.local()  # `connection` while the thread is in a `write`
        self._lock = threading.Lock()
        self._idle: list[sqlite3.Connection] = []  # the most recently used is taken first
        self._closed = False
        self._index: int | None = None
        self.boot = _boot_id()
        with translated():
            self._migrate()
        self._allocate_index()

    def close(self) -> None:
        """Close all connections; those in use are closed after their use."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()
        if self._index is not None:
            os.close(self._index)
            self._index = None

    def rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """Read rows: those committed, and the changes of this thread's open `write`."""
        with translated(), self._connection() as connection:
            return connection.execute(sql, values).fetchall()

    def row(self, sql: str, *values: Any) -> tuple[Any, ...] | None:
        with translated(), self._connection() as connection:
            found: tuple[Any, ...] | None = connection.execute(sql, values).fetchone()
            return found

    @property
    def writing(self) -> bool:
        """Whether this thread is in a `write`."""
        return self._own is not None

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """A transaction. Nested uses in one thread join the outermost."""
        with translated():
            if self._own is not None:
                yield self._own
                return
            with self._connection() as connection:
                connection.execute("BEGIN IMMEDIATE")
                self._transaction.connection = connection
                try:
                    yield connection
                except BaseException:
                    connection.rollback()
                    raise
                finally:
                    self._transaction.connection = None
                connection.commit()

    @property
    def _own(self) -> sqlite3.Connection | None:
        """The connection of this thread's open `write`."""
        found: sqlite3.Connection | None = getattr(self._transaction, "connection", None)
        return found

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """A connection that no other thread uses during the block."""
        if self._own is not None:
            yield self._own
            return
        connection = self._take()
        try:
            yield connection
        finally:
            with self._lock:
                keep = not (self._closed or connection.in_transaction)
                keep = keep and len(self._idle) < _MAX_IDLE
                if keep:
                    self._idle.append(connection)
            if not keep:
                connection.close()

    def _take(self) -> sqlite3.Connection:
        with self._lock:
            if self._closed:
                raise Unavailable("the store's database was closed")
            if self._idle:
                return self._idle.pop()
        connection = sqlite3.connect(
            self._path, timeout=60, isolation_level=None, check_same_thread=False
        )
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA foreign_keys = ON")
        return connection

    def _allocate_index(self) -> None:
        """Allocate all blocks of the WAL index (`meta.db-shm`), which SQLite maps into memory.

        SQLite writes one byte of each page before it maps the file. Where the file system's blocks
        are smaller than pages that leaves holes, and on a full disk the kernel kills a process
        that writes to one (SIGBUS). The descriptor stays open: closing one would release the locks
        that SQLite has on the file (fcntl(2)). Raises Exhausted.
        """
        if os.statvfs(self._path).f_bsize >= os.sysconf("SC_PAGE_SIZE"):
            return
        try:
            self._index = os.open(f"{self._path}-shm", os.O_RDWR | os.O_CLOEXEC)
            os.posix_fallocate(self._index, 0, _INDEX_SIZE)
        except FileNotFoundError:
            return
        except OSError as error:
            raise from_os_error(error, "open the store's database") from error

    def _migrate(self) -> None:
        [(version,)] = self.rows("PRAGMA user_version")
        if version == SCHEMA_VERSION:
            return
        if version > SCHEMA_VERSION:
            raise Corrupt(
                f"{self._path} was written by a newer lamina (schema {version})",
                hint="use that lamina, or another store with --root",
            )
        self.rows("PRAGMA journal_mode = WAL")
        with self.write() as connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version == 0:
                scripts = [_SCHEMA, _HISTORY, _MOUNT_CACHES, _ORIGINS, _RUNNING_RECORDS, _EVIDENCE]
            else:
                scripts = [_MIGRATIONS[n] for n in range(version + 1, SCHEMA_VERSION + 1)]
            for statement in ";\n".join(scripts).split(";\n"):
                if statement.strip():
                    connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


@contextmanager
def translated() -> Iterator[None]:
    """Convert SQLite's errors to LaminaErrors."""
    try:
        yield
    except sqlite3.Error as error:
        raise _translate(error) from error
    except UnicodeDecodeError as error:
        raise Corrupt(
            "the store's database: it has text that is not UTF-8", hint=_DAMAGED
        ) from error


def _translate(error: sqlite3.Error) -> LaminaError:
    text = str(error)
    if "full" in text:
        return Exhausted(f"write the store's database: {text}", hint=FREE_SOME)
    if "locked" in text or "busy" in text:
        return Unavailable(
            f"the store's database is busy: {text}", hint="another process uses it; try again"
        )
    if "readonly" in text or "unable to open" in text or "permission" in text:
        return PermissionDenied(f"open the store's database: {text}")
    return Corrupt(f"the store's database: {text}", hint=_DAMAGED)


def _boot_id() -> str:
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return f"{os.uname().nodename}"

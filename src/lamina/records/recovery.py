"""Completes the records of builds whose process was killed."""

from __future__ import annotations

import os
import time
from hashlib import sha256
from typing import TYPE_CHECKING

from lamina.api.descriptor import Descriptor
from lamina.api.progress import SCHEMA, StatusResponse
from lamina.api.status import Status
from lamina.api.timestamp import Timestamp, at_seconds
from lamina.base.digest import Digest
from lamina.base.errors import LaminaError
from lamina.records.progress_log import MEDIA_TYPE, whole_frames
from lamina.records.table import References
from lamina.wire.contract import Code
from lamina.wire.protobuf import decode

if TYPE_CHECKING:
    from lamina.api.history import BuildHistoryRecord
    from lamina.records.table import RecordTable
    from lamina.stores.store import Store

KILLED = "the build was killed: its process ended without completing the record"


def recover(store: Store, table: RecordTable) -> list[str]:
    """Complete the records of dead processes from their logs. Returns the refs.

    Raises errors of the store's database. A log that cannot be read leaves a record without one.
    """
    recovered = []
    for ref, journal in table.claim_abandoned():
        record = table.get(ref)
        if record is not None:
            path = store.path("records", journal)
            try:
                record, references = _complete(store, record, path)
            except (LaminaError, OSError):
                record = _killed(record, time.time())
                references = References()
            table.put(record, references)
            recovered.append(ref)
    return recovered


def _complete(
    store: Store, record: BuildHistoryRecord, path: str
) -> tuple[BuildHistoryRecord, References]:
    hashed = sha256()
    size = 0
    vertices: dict[str, tuple[bool, bool]] = {}  # completed, cached
    warnings = 0
    blobs: set[str] = set()
    contents: set[str] = set()
    with open(path, "rb") as file:
        ended = os.fstat(file.fileno()).st_mtime
        for frame in whole_frames(file):
            hashed.update(frame)
            size += len(frame)
            message: StatusResponse = decode(frame[4:], StatusResponse, SCHEMA)
            for vertex in message.vertexes:
                completed, cached = vertices.get(vertex.digest, (False, False))
                vertices[vertex.digest] = (
                    completed or vertex.completed is not None,
                    cached or vertex.cached,
                )
            warnings += len(message.warnings)
            blobs.update(message.definitions)
            contents.update(
                part.content
                for lookup in message.lookups
                for part in lookup.parts
                if part.by_content
            )
    os.truncate(path, size)
    digest = Digest(f"sha256:{hashed.hexdigest()}")
    with store.shared():
        store.blobs.adopt(path, digest)
    record = _killed(record, ended)._replace(
        logs=Descriptor(MEDIA_TYPE, digest, size),
        num_total_steps=len(vertices),
        num_completed_steps=sum(completed for completed, _ in vertices.values()),
        num_cached_steps=sum(cached for _, cached in vertices.values()),
        num_warnings=warnings,
    )
    return record, References(frozenset(blobs), frozenset(contents))


def _killed(record: BuildHistoryRecord, ended: float) -> BuildHistoryRecord:
    started = record.created_at or Timestamp()
    return record._replace(
        completed_at=max(at_seconds(ended), started),
        error=Status(Code.ABORTED, KILLED),
    )

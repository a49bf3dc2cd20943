"""Scripted events for the tests of renderers: times are small numbers, digests are made from
letters."""

from __future__ import annotations

from lamina.base.digest import Digest, digest_of
from lamina.base.events import LogEvent, StatusEvent, VertexEvent


def key(letter: str) -> Digest:
    return digest_of(letter.encode())


def vertex(
    letter: str,
    name: str,
    started: float | None = None,
    completed: float | None = None,
    *,
    cached: bool = False,
    error: str = "",
) -> VertexEvent:
    return VertexEvent(
        key(letter), name, started=started, completed=completed, cached=cached, error=error
    )


def log(letter: str, data: bytes, timestamp: float) -> LogEvent:
    return LogEvent(key(letter), 1, data, timestamp)


def status(
    letter: str,
    name: str,
    timestamp: float,
    current: int = 0,
    total: int = 0,
    started: float | None = None,
    completed: float | None = None,
) -> StatusEvent:
    return StatusEvent(key(letter), name, timestamp, current, total, started, completed)

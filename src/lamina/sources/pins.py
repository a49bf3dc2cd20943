"""Resolutions of sources, kept for the duration of a build.

A frontend resolves a branch or a URL and then builds with it. The build must use the same
resolution, even if the remote has changed since.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

T = TypeVar("T")


class Pins(Protocol):
    """Resolutions by source. Methods are called from any thread."""

    def known(self, kind: type[T], source: Hashable) -> list[T]:
        """The resolutions of a source, earliest first. There can be several if builds requested
        different checksums."""
        ...

    def keep(self, source: Hashable, found: object) -> None: ...


class BuildPins:
    """The resolutions of one build. Implements `Pins`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: dict[Hashable, list[object]] = {}

    def known(self, kind: type[T], source: Hashable) -> list[T]:
        with self._lock:
            return [one for one in self._found.get(source, ()) if isinstance(one, kind)]

    def keep(self, source: Hashable, found: object) -> None:
        with self._lock:
            kept = self._found.setdefault(source, [])
            if found not in kept:
                kept.append(found)


class SharedPins:
    """The resolutions of all builds that wait for a step at the time of a call. Implements
    `Pins`."""

    def __init__(self, current: Callable[[], Sequence[Pins]]) -> None:
        self._current = current

    def known(self, kind: type[T], source: Hashable) -> list[T]:
        every = (one for pins in self._current() for one in pins.known(kind, source))
        return list(dict.fromkeys(every))

    def keep(self, source: Hashable, found: object) -> None:
        for pins in self._current():
            pins.keep(source, found)

"""What sources turned out to be, held for as long as a build lasts.

A frontend asks what a branch or a URL is at present and then builds with it: what is built must
be what the frontend was answered, even if the remote has changed since.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

T = TypeVar("T")


class Pins(Protocol):
    """Findings by the source that they are of. Methods are called from any thread."""

    def known(self, kind: type[T], source: Hashable) -> list[T]:
        """What is known of a source, the earliest first. More than one is possible where
        different checksums were asked for."""
        ...

    def keep(self, source: Hashable, found: object) -> None: ...


class BuildPins:
    """One build's own. Implements `Pins`."""

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
    """Those of all builds that wait for a step, at the moment of a call. Implements `Pins`."""

    def __init__(self, current: Callable[[], Sequence[Pins]]) -> None:
        self._current = current

    def known(self, kind: type[T], source: Hashable) -> list[T]:
        every = (one for pins in self._current() for one in pins.known(kind, source))
        return list(dict.fromkeys(every))

    def keep(self, source: Hashable, found: object) -> None:
        for pins in self._current():
            pins.keep(source, found)

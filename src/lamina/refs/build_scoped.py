"""Values that are kept while builds run that may use them."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

K = TypeVar("K")
T = TypeVar("T")


class RunningBuilds:
    """The builds that run, numbered in the order in which they started.

    `lock` guards it, and the values of every `BuildScoped` of it.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.newest = 0
        self._numbers: dict[int, int] = {}  # by id() of the build

    def enter(self, build: object) -> None:
        """A build starts."""
        with self.lock:
            self.newest += 1
            self._numbers[id(build)] = self.newest

    def leave(self, build: object) -> None:
        """A build has ended. Call `BuildScoped.expire` then."""
        with self.lock:
            del self._numbers[id(build)]

    @property
    def oldest(self) -> int:
        """The oldest build that runs. Called with the lock held."""
        return min(self._numbers.values(), default=self.newest + 1)


class BuildScoped(Generic[K, T]):
    """Values by key. Each is kept until all builds have ended that ran when it was last used."""

    def __init__(self, builds: RunningBuilds) -> None:
        self._builds = builds
        self._values: dict[K, T] = {}
        self._used: dict[K, int] = {}  # the newest build at the last use

    def add(self, key: K, value: T) -> None:
        with self._builds.lock:
            self._values[key] = value
            self._used[key] = self._builds.newest

    def get(self, key: K) -> T | None:
        """Return a value, or None. It does not count as used."""
        with self._builds.lock:
            return self._values.get(key)

    def use(self, key: K) -> T | None:
        """Return a value, or None."""
        with self._builds.lock:
            if key not in self._values:
                return None
            self._used[key] = self._builds.newest
            return self._values[key]

    def remove(self, key: K) -> None:
        """Remove a value, if there is one."""
        with self._builds.lock:
            if self._values.pop(key, None) is not None:
                del self._used[key]

    def expire(self) -> list[T]:
        """Remove the values that only builds used that have ended, and return them."""
        with self._builds.lock:
            oldest = self._builds.oldest
            expired = [key for key, used in self._used.items() if used < oldest]
            for key in expired:
                del self._used[key]
            return [self._values.pop(key) for key in expired]

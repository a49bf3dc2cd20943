"""The builds that are being looked at."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from lamina.ui.open_build import OpenBuild

if TYPE_CHECKING:
    from lamina.client.build_history import BuildHistory
    from lamina.ui.source import UiSource

_MOST = 8


class OpenBuilds:
    """Keeps the last builds that were requested open. Thread-safe. Close it."""

    def __init__(self, source: UiSource) -> None:
        self._source = source
        self._lock = threading.Lock()
        self._open: dict[str, OpenBuild] = {}

    def get(self, history: BuildHistory, ref: str) -> OpenBuild:
        """A build. Raises NotFound, Corrupt.

        A build that ended since it was opened is opened again, with its complete record.
        """
        record = history.record(ref)
        with self._lock:
            build = self._open.pop(ref, None)
            if build is not None and build.record.completed_at != record.completed_at:
                build.close()
                build = None
            if build is None:
                build = OpenBuild(history, record, self._source.scratch)
            self._open[ref] = build
            while len(self._open) > _MOST:
                self._open.pop(next(iter(self._open))).close()
            return build

    def close(self) -> None:
        with self._lock:
            for build in self._open.values():
                build.close()
            self._open.clear()

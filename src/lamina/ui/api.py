"""The state behind the API."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.records.rows import RUNNING
from lamina.ui.build_rows import BuildRows
from lamina.ui.images import ImageReader
from lamina.ui.open_builds import OpenBuilds

if TYPE_CHECKING:
    from lamina.ui.open_build import OpenBuild
    from lamina.ui.source import UiSource


class Api:
    """The data of a source as documents. Thread-safe. Close it."""

    def __init__(self, source: UiSource, *, changes: bool) -> None:
        self.source = source
        self.changes = changes
        self.builds = OpenBuilds(source)
        self.rows = BuildRows()
        self.images = ImageReader(source.images)

    def opened(self, ref: str) -> OpenBuild:
        """A build by its ref. Raises NotFound, Corrupt."""
        return self.builds.get(self.source.history(), ref)

    def fingerprint(self) -> str:
        """A text that changes when a build starts or ends, or a record is removed."""
        rows = self.source.history().rows()
        running = ",".join(row.ref for row in rows if row.status == RUNNING)
        newest = max((row.completed for row in rows), default=0.0)
        return f"{len(rows)} {newest} {running}"

    def close(self) -> None:
        self.builds.close()

"""The port to the records of builds, in a local store or in a daemon."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Protocol

from lamina.records.recorded_build import RecordedBuilds

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from lamina.api.history import BuildHistoryRecord
    from lamina.api.progress import StatusResponse
    from lamina.llb.op import Definition
    from lamina.records.rows import RecordRow
    from lamina.records.table import References, StepCounts
    from lamina.stores.contents import ContentEntry
    from lamina.system.cancel import Cancellation


class BuildHistory(RecordedBuilds, Protocol):
    """Records of builds. All methods raise errors of `lamina.base.errors`."""

    def rows(self) -> Sequence[RecordRow]:
        """All builds, including running ones, the newest first."""
        ...

    def counts(self) -> Mapping[str, StepCounts]:
        """The number of steps of each ended build, by ref."""
        ...

    def contexts(self) -> Mapping[str, str]:
        """The directory or URL of each build's context, by ref; "" if it is not known."""
        ...

    def record(self, ref: str) -> BuildHistoryRecord:
        """The record of a build. Raises NotFound."""
        ...

    def log(
        self, record: BuildHistoryRecord, *, follow: Cancellation | None = None
    ) -> Iterator[StatusResponse]:
        """The messages of a build's progress log, in order.

        For a running build, a local store returns what has been written so far, and a daemon
        nothing. With `follow` both return everything until the build ends; cancelling it ends the
        iteration. Raises NotFound, Corrupt.
        """
        ...

    def blob(self, digest: str) -> bytes:
        """A blob of a record. Raises NotFound, Corrupt."""
        ...

    def definition(self, digest: str) -> Definition | None:
        """A definition that a build solved, None if it no longer exists."""
        ...

    def delete(self, refs: Sequence[str]) -> None:
        """Delete records of ended builds. Refs without a record are skipped."""
        ...

    def references(self, record: BuildHistoryRecord) -> References:
        """The blobs and the manifests of contents that a bundle has of a record."""
        ...

    def content_entries(self, content: str) -> Iterable[ContentEntry]:
        """The entries of a manifest with full paths. Raises Corrupt."""
        ...

    def import_bundle(self, source: IO[bytes]) -> Sequence[str]:
        """Add the records of a bundle. Returns their refs.

        Raises Corrupt, AlreadyExists, and Unsupported: the bundle is not one of lamina's, or the
        daemon is a buildkitd.
        """
        ...

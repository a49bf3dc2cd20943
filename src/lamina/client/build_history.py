"""The port to the records of builds, in a local store or in a daemon."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from lamina.api.history import BuildHistoryRecord
    from lamina.api.progress import StatusResponse
    from lamina.llb.op import Definition
    from lamina.records.table import RecordRow, StepCounts


class BuildHistory(Protocol):
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

    def log(self, record: BuildHistoryRecord, *, follow: bool = False) -> Iterator[StatusResponse]:
        """The messages of a build's progress log, in order.

        For a running build, a local store returns what has been written so far. A daemon returns
        nothing, or with `follow` everything until the build ends. Raises NotFound, Corrupt.
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

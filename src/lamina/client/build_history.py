"""The port to the records of builds: in a store of this machine, or in a daemon."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from lamina.api.history import BuildHistoryRecord
    from lamina.api.progress import StatusResponse
    from lamina.llb.op import Definition
    from lamina.records.table import RecordRow, StepCounts


class BuildHistory(Protocol):
    """Records of builds. All methods raise members of `lamina.base.errors`."""

    def rows(self) -> Sequence[RecordRow]:
        """All builds, the newest first; also those that run."""
        ...

    def counts(self) -> Mapping[str, StepCounts]:
        """How many steps each build that has ended had, by ref."""
        ...

    def contexts(self) -> Mapping[str, str]:
        """The folder or the address of each build's context, by ref; "" if it is not known."""
        ...

    def record(self, ref: str) -> BuildHistoryRecord:
        """The record of a build. Raises NotFound."""
        ...

    def log(self, record: BuildHistoryRecord, *, follow: bool = False) -> Iterator[StatusResponse]:
        """The messages of a build's progress log, in order.

        Of a build that runs, a local store gives what has been written so far. A daemon gives
        nothing, or with `follow` everything until the build ends. Raises NotFound, Corrupt.
        """
        ...

    def blob(self, digest: str) -> bytes:
        """What a record refers to. Raises NotFound, Corrupt."""
        ...

    def definition(self, digest: str) -> Definition | None:
        """A definition that a build solved, None if it is no longer there."""
        ...

    def delete(self, refs: Sequence[str]) -> None:
        """Delete records of builds that have ended; refs without a record are skipped."""
        ...

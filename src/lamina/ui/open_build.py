"""A build that is being looked at: its steps, warnings and logs, up to date while it runs."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from lamina.base.errors import LaminaError
from lamina.base.named_tuple import NamedTuple
from lamina.records.naming import in_order
from lamina.records.steps import StepFacts, collect_steps
from lamina.system.cancel import Cancellation
from lamina.ui.step_log import LogSpool, StepLog

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lamina.api.history import BuildHistoryRecord
    from lamina.api.progress import StatusResponse, VertexStatus, VertexWarning
    from lamina.client.build_history import BuildHistory
    from lamina.llb.op import Definition
    from lamina.records.steps import Step
    from lamina.ui.step_log import Line


class Progress(NamedTuple):
    """The progress of a build so far.

    `steps` are in the order of their numbers. `reasons` and `log_lines` are by digest of the step;
    `transfers` are the last states by step and ID.
    """

    steps: tuple[Step, ...]
    dockerfile: str
    reasons: dict[str, str]
    warnings: tuple[VertexWarning, ...]
    transfers: dict[tuple[str, str], VertexStatus]
    log_lines: dict[str, int]
    complete: bool


class OpenBuild:
    """Reads a build's progress log: at once if the build has ended, else in a thread until it
    ends. Thread-safe. Close it.

    Args:
        folder: for the temporary file of the logs.
    """

    def __init__(self, history: BuildHistory, record: BuildHistoryRecord, folder: str) -> None:
        self.record = record
        self._history = history
        self._lock = threading.Lock()
        self._cancel = Cancellation()
        self._spool = LogSpool(folder)
        self._messages: list[StatusResponse] = []
        self._logs: dict[str, StepLog] = {}
        self._definitions: dict[str, Definition | None] = {}
        self._version = 0
        self._complete = False
        self._progress: tuple[int, Progress] | None = None
        self._thread: threading.Thread | None = None
        if record.completed_at is None:
            self._thread = threading.Thread(target=self._follow, name="follow", daemon=True)
            self._thread.start()
        else:
            for message in history.log(record):
                self._add(message)
            self._complete = True

    @property
    def version(self) -> int:
        """Changes with every message."""
        with self._lock:
            return self._version

    @property
    def complete(self) -> bool:
        """Whether the log is read to the end of the build."""
        with self._lock:
            return self._complete

    def progress(self) -> Progress:
        """The progress so far. Raises Corrupt."""
        with self._lock:
            if self._progress is None or self._progress[0] != self._version:
                self._progress = self._version, self._collect()
            return self._progress[1]

    def logs(self) -> dict[str, tuple[int, int]]:
        """The lines and bytes of each step's log, by digest."""
        with self._lock:
            return {step: (log.lines, log.size) for step, log in self._logs.items()}

    def lines(self, step: str, first: int, count: int) -> tuple[int, Sequence[Line]]:
        """The number of lines of a step's log, and some of them."""
        with self._lock:
            log = self._logs.get(step)
            return (0, ()) if log is None else (log.lines, log.page(first, count))

    def find(self, wanted: str, most: int) -> list[tuple[str, int]]:
        """(step, line) of the first lines that contain a text."""
        found: list[tuple[str, int]] = []
        for step in self.progress().steps:
            with self._lock:
                log = self._logs.get(step.digest)
                if log is not None and len(found) < most:
                    found += ((step.digest, line) for line in log.find(wanted, most - len(found)))
        return found

    def text(self, step: str) -> Iterator[bytes]:
        """The whole log of a step, in pieces."""
        with self._lock:
            log = self._logs.get(step)
            pieces = iter(()) if log is None else log.content()
        while True:
            with self._lock:
                piece = next(pieces, None)
            if piece is None:
                return
            yield piece

    def close(self) -> None:
        self._cancel.cancel()
        if self._thread is not None:
            self._thread.join()
        with self._lock:
            self._spool.close()

    def _follow(self) -> None:
        try:
            for message in self._history.log(self.record, follow=self._cancel):
                self._add(message)
        except LaminaError:
            pass  # what was read so far is shown
        with self._lock:
            self._complete = not self._cancel.cancelled
            self._version += 1

    def _add(self, message: StatusResponse) -> None:
        with self._lock:
            for log in message.logs:
                known = self._logs.get(log.vertex)
                if known is None:
                    known = self._logs[log.vertex] = StepLog(self._spool)
                moment = 0.0 if log.timestamp is None else log.timestamp.nanoseconds / 1e9
                known.add(log.msg, moment, log.stream)
            if message.logs:
                message = message._replace(logs=())
            if any(message):
                self._messages.append(message)
            self._version += 1

    def _collect(self) -> Progress:
        facts = StepFacts()
        steps = collect_steps(self._messages, facts, self._definition)
        reasons: dict[str, str] = {}
        warnings: list[VertexWarning] = []
        transfers: dict[tuple[str, str], VertexStatus] = {}
        for message in self._messages:
            reasons.update((reason.vertex, reason.text) for reason in message.reasons)
            warnings += message.warnings
            transfers.update(((state.vertex, state.id), state) for state in message.statuses)
        lines = {step: log.lines for step, log in self._logs.items()}
        return Progress(
            in_order(steps),
            facts.dockerfile,
            reasons,
            tuple(warnings),
            transfers,
            lines,
            self._complete,
        )

    def _definition(self, digest: str) -> Definition | None:
        if digest not in self._definitions:
            self._definitions[digest] = self._history.definition(digest)
        return self._definitions[digest]

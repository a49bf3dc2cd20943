"""Durations of steps in earlier builds: the port through which advice reads records of builds."""

from __future__ import annotations

from typing import Protocol


class StepTimes(Protocol):
    """Durations of steps in earlier builds of the same Dockerfile."""

    def seconds(self, instruction: str) -> float | None:
        """The duration of an instruction's step when it last ran; None if it is not known.

        `instruction` is its text on one line, with flags and with the values of variables.
        """


class NoRecords:
    """There are no records: every duration is unknown."""

    def seconds(self, instruction: str) -> float | None:
        return None

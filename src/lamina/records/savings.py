"""What the cache saved in a build, and which step cost most."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.named_tuple import NamedTuple
from lamina.records.matching import is_local, operations

if TYPE_CHECKING:
    from lamina.records.explanation import Explainer
    from lamina.records.recorded_build import RecordedBuild
    from lamina.records.steps import Step


class Savings(NamedTuple):
    """`steps` are the cached steps with the seconds that they took when they last ran; `unknown` is
    the number of those whose duration is not recorded. `costliest` is the step that took most time,
    None if none ran."""

    steps: tuple[tuple[Step, float], ...]
    unknown: int
    costliest: Step | None

    @property
    def seconds(self) -> float:
        """The sum of the durations: steps that run in parallel all count."""
        return sum(seconds for _, seconds in self.steps)


def savings_of(build: RecordedBuild, explainer: Explainer) -> Savings:
    """The savings of a build. Raises the errors of reading earlier builds."""
    steps = [step for step in operations(build.steps) if not is_local(step)]
    known: list[tuple[Step, float]] = []
    cached = [step for step in steps if step.cached]
    for step in cached:
        last = explainer.last_run(step)
        if last is not None:
            known.append((step, last.duration))
    ran = [step for step in build.steps if step.ran and step.completed is not None]
    costliest = max(ran, key=lambda step: step.duration, default=None)
    return Savings(tuple(known), len(cached) - len(known), costliest)

"""The plan of a build: its steps, why they would run, and how long they took before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.named_tuple import NamedTuple
from lamina.records.explanation import Explainer
from lamina.records.matching import source_name
from lamina.records.wording import short_text
from lamina.solver.planning import Planned

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from lamina.llb.op import Op
    from lamina.records.explanation import BuildHistory
    from lamina.records.recorded_build import RecordedBuild
    from lamina.records.steps import Step
    from lamina.solver.planning import PlannedVertex

_IMAGE = "docker-image://"


class PlannedStep(NamedTuple):
    """A step of a plan.

    `reason` is the cause of a due step's cache miss. `depends` are the names of the steps that must
    run before it is known whether this one does. `seconds` is its duration when it last ran, None
    if it is not known, or if the step is cached.
    """

    digest: str
    name: str
    planned: Planned
    reason: str = ""
    depends: tuple[str, ...] = ()
    seconds: float | None = None


class Transfer(NamedTuple):
    """An image to pull or to push.

    `size` is in bytes, None if it is not known: of layers that are not in the store, or of the
    image that the latest build of the target made.
    """

    name: str
    size: int | None = None


class BuildPlan(NamedTuple):
    """The plan of a build.

    `expected` is the time of the due steps along the critical path in seconds, from earlier builds;
    `at_most` also includes steps that depend on others. Steps without a known time count as 0:
    `unknown` is their number.
    """

    steps: tuple[PlannedStep, ...]
    expected: float = 0.0
    at_most: float = 0.0
    unknown: int = 0
    pulled: tuple[Transfer, ...] = ()
    pushed: tuple[Transfer, ...] = ()


def make_plan(
    build: RecordedBuild,
    vertices: Sequence[PlannedVertex],
    history: BuildHistory,
    pushed: tuple[Transfer, ...],
    missing: Callable[[Op], int | None],
) -> BuildPlan:
    """The plan of a build whose steps were looked up. Steps that nothing needs are left out.

    Args:
        missing: the bytes of an image's layers that are not in the store, if known.
    """
    explainer = Explainer(build, history)
    steps = {step.digest: step for step in build.steps}
    planned: list[PlannedStep] = []
    pulled: dict[str, Transfer] = {}
    for vertex in vertices:
        step = steps.get(vertex.digest)
        if step is None or vertex.planned in (Planned.UNNEEDED, Planned.READ):
            continue
        open_ended = vertex.planned in (Planned.DUE, Planned.DEPENDS)
        last = explainer.last_run(step) if open_ended else None
        due = vertex.planned is Planned.DUE
        planned.append(
            PlannedStep(
                step.digest,
                step.name,
                vertex.planned,
                short_text(explainer.explain(step)) if due else "",
                tuple(steps[digest].name for digest in vertex.depends if digest in steps),
                None if last is None else last.duration,
            )
        )
        if due and step.op is not None and source_name(step).startswith(_IMAGE):
            name, size = source_name(step).removeprefix(_IMAGE), missing(step.op)
            if size != 0:
                pulled.setdefault(name, Transfer(name, size))
    due_only = {step.digest: step.seconds or 0.0 for step in planned if _is_due(step)}
    all_open = {step.digest: step.seconds or 0.0 for step in planned if step.seconds is not None}
    return BuildPlan(
        tuple(planned),
        _critical_path(build.steps, due_only),
        _critical_path(build.steps, all_open),
        sum(_is_due(step) and step.seconds is None for step in planned),
        tuple(pulled.values()),
        pushed,
    )


def _is_due(step: PlannedStep) -> bool:
    return step.planned is Planned.DUE


def _critical_path(steps: Sequence[Step], seconds: Mapping[str, float]) -> float:
    """The longest time along a path of inputs. `steps` have inputs before users."""
    ends: dict[str, float] = {}
    for step in steps:
        begin = max((ends.get(digest, 0.0) for digest in step.inputs), default=0.0)
        ends[step.digest] = begin + seconds.get(step.digest, 0.0)
    return max(ends.values(), default=0.0)

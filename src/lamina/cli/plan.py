"""`lamina plan` and `lamina build --plan`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from lamina.base.errors import Cancelled
from lamina.cli import values
from lamina.cli.context import open_context
from lamina.cli.interrupt import interruptible
from lamina.cli.opening import builder_address, open_builder
from lamina.cli.units import show_size
from lamina.records.matching import label_of
from lamina.solver.planning import Planned

if TYPE_CHECKING:
    from lamina.cli.flags import Parsed
    from lamina.client.contract import BuildRequest
    from lamina.records.plan import BuildPlan, PlannedStep, Transfer


def show_plan(parsed: Parsed, request: BuildRequest) -> int:
    """Print what a build would do, without running a step. The request has no context yet."""
    named = tuple(map(values.parse_context, parsed.all("build-context")))
    with (
        open_context(
            parsed.arguments[0],
            parsed.text("file"),
            named,
            sys.stdin.buffer,
            request.providers,
            fetched=not builder_address(parsed),
        ) as context,
        open_builder(parsed) as builder,
        interruptible(builder.hurry) as interruption,
    ):
        try:
            plan = builder.plan(request._replace(context=context), interruption.cancel)
        except Cancelled as error:
            return interruption.exit_status(error)
    if parsed.text("format") == "json":
        import json

        print(json.dumps(_document(plan), indent=2, ensure_ascii=False))
    else:
        print(_text(plan))
    return 0


def _text(plan: BuildPlan) -> str:
    lines = [_line(step) for step in plan.steps]
    counts = {kind: sum(step.planned is kind for step in plan.steps) for kind in Planned}
    lines += ["", f"{counts[Planned.DUE]} to run, {counts[Planned.CACHED]} cached"]
    if counts[Planned.DEPENDS]:
        lines[-1] += f", {counts[Planned.DEPENDS]} not known before others have run"
    if counts[Planned.DUE]:
        lines.append(_expectation(plan))
    lines += [f"pull {_transfer(image, '')}" for image in plan.pulled]
    lines += [f"push {_transfer(image, ' last time')}" for image in plan.pushed]
    return "\n".join(lines)


def _transfer(image: Transfer, when: str) -> str:
    return image.name if image.size is None else f"{image.name} ({show_size(image.size)}{when})"


def _line(step: PlannedStep) -> str:
    name = " ".join(step.name.split())
    match step.planned:
        case Planned.CACHED:
            return f"CACHED  {name}"
        case Planned.DEPENDS:
            others = " and ".join(" ".join(label_of(each).text.split()) for each in step.depends)
            return f"DEPENDS {name} — depends on the output of {others}{_time(step)}"
        case _:
            reason = f" — {step.reason}" if step.reason else ""
            return f"RUN     {name}{reason}{_time(step)}"


def _time(step: PlannedStep) -> str:
    return "" if step.seconds is None else f" ({step.seconds:.1f}s last time)"


def _expectation(plan: BuildPlan) -> str:
    text = f"expected time along the critical path: {plan.expected:.1f}s"
    if plan.at_most > plan.expected:
        text += f", {plan.at_most:.1f}s if everything runs that depends on it"
    if plan.unknown:
        plural = "s have" if plan.unknown > 1 else " has"
        text += f" ({plan.unknown} step{plural} never run here and not counted)"
    return text


def _document(plan: BuildPlan) -> dict[str, object]:
    return {
        "steps": [
            {
                "digest": step.digest,
                "name": step.name,
                "plan": step.planned.value,
                "reason": step.reason,
                "dependsOn": list(step.depends),
                "lastSeconds": step.seconds,
            }
            for step in plan.steps
        ],
        "expectedSeconds": plan.expected,
        "atMostSeconds": plan.at_most,
        "unknownDurations": plan.unknown,
        "pull": [image._asdict() for image in plan.pulled],
        "push": [image._asdict() for image in plan.pushed],
    }

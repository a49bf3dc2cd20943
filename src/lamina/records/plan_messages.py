"""Converts plans to messages between a daemon of lamina and its client, and back."""

from __future__ import annotations

from lamina.api.planning import PlanResponse, PlanStep, PlanTransfer
from lamina.base.errors import Corrupt
from lamina.records.plan import BuildPlan, PlannedStep, Transfer
from lamina.solver.planning import Planned

_SECOND = 1_000_000_000


def plan_message(plan: BuildPlan) -> PlanResponse:
    return PlanResponse(
        tuple(
            PlanStep(
                step.digest,
                step.name,
                step.planned.value,
                step.reason,
                step.depends,
                step.seconds is not None,
                round((step.seconds or 0.0) * _SECOND),
            )
            for step in plan.steps
        ),
        round(plan.expected * _SECOND),
        round(plan.at_most * _SECOND),
        plan.unknown,
        tuple(map(_transfer_message, plan.pulled)),
        tuple(map(_transfer_message, plan.pushed)),
    )


def plan_of(message: PlanResponse) -> BuildPlan:
    """Decode a plan. Raises Corrupt."""
    return BuildPlan(
        tuple(
            PlannedStep(
                step.digest,
                step.name,
                _planned(step.planned),
                step.reason,
                step.depends,
                step.nanoseconds / _SECOND if step.timed else None,
            )
            for step in message.steps
        ),
        message.expected / _SECOND,
        message.at_most / _SECOND,
        message.unknown,
        tuple(map(_transfer, message.pulled)),
        tuple(map(_transfer, message.pushed)),
    )


def _transfer_message(transfer: Transfer) -> PlanTransfer:
    return PlanTransfer(transfer.name, transfer.size is not None, transfer.size or 0)


def _transfer(message: PlanTransfer) -> Transfer:
    return Transfer(message.name, message.size if message.sized else None)


def _planned(value: str) -> Planned:
    try:
        return Planned(value)
    except ValueError:
        raise Corrupt(f'the daemon sent a plan with the unknown state "{value[:40]}"') from None

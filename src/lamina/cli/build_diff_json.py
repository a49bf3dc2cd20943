"""The comparison of two builds as JSON. docs/reference/diff.md has the schema."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from lamina.base.times import format_time
from lamina.records.cause_documents import cause_document
from lamina.records.table import row_of

if TYPE_CHECKING:
    from lamina.records.build_diff import BuildDiff, ComparedBuild, StepChange
    from lamina.records.build_outputs import BuildOutput
    from lamina.records.steps import Step

Document = dict[str, Any]


def build_diff_json(diff: BuildDiff) -> str:
    """One document, indented."""
    document = {
        "equal": diff.equal,
        "before": _build(diff.before),
        "after": _build(diff.after),
        "inputs": [change._asdict() for change in diff.inputs],
        "files": {
            "count": diff.files.total,
            "paths": [change._asdict() for change in diff.files.first],
        },
        "steps": [_step_change(change) for change in diff.steps],
        "outputs": [
            {
                "change": change.change.value,
                "before": _output(change.before),
                "after": _output(change.after),
            }
            for change in diff.outputs
        ],
    }
    return json.dumps(document, indent=2)


def _build(side: ComparedBuild) -> Document:
    row = row_of(side.record)
    return {
        "ref": row.ref,
        "name": row.name,
        "status": row.status,
        "startedAt": format_time(row.created),
        "seconds": round(row.completed - row.created, 6),
    }


def _step_change(change: StepChange) -> Document:
    return {
        "change": change.change.value,
        "before": _step(change.before),
        "after": _step(change.after),
        "causes": [cause_document(cause) for cause in change.causes],
    }


def _step(step: Step | None) -> Document | None:
    if step is None:
        return None
    return {
        "digest": step.digest,
        "name": step.name,
        "cached": step.cached,
        "ran": step.ran,
        "seconds": round(step.duration, 6) if step.ran else None,
        "error": step.error,
    }


def _output(output: BuildOutput | None) -> Document | None:
    return None if output is None else output._asdict()

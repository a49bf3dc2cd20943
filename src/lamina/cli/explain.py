"""`lamina explain`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput
from lamina.cli.opening import open_history
from lamina.cli.recorded import ended_record
from lamina.cli.units import show_ago
from lamina.records.cause_documents import cause_document
from lamina.records.causes import TextChanged
from lamina.records.comparing import EarlierBuilds
from lamina.records.explanation import Explainer, explained_steps
from lamina.records.matching import label_of
from lamina.records.naming import find_steps, in_order
from lamina.records.recorded_build import keys_recorded
from lamina.records.table import target_of
from lamina.records.wording import diff_lines, own_causes, short_text, step_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lamina.cli.flags import Parsed
    from lamina.client.build_history import BuildHistory
    from lamina.records.causes import Explanation
    from lamina.records.recorded_build import RecordedBuild
    from lamina.records.steps import Step

_SEVERAL = 2
_STILL_RUNS = "its progress display shows the causes"
_NO_KEYS = (
    "The builder recorded no cache keys: only lamina does. So this compares instructions, and does"
    " not know which files changed or which results were removed."
)


def run(parsed: Parsed) -> int:
    """Explain why the steps of a build missed the cache."""
    with open_history(parsed) as history:
        build, explanations = explain_build(
            history,
            parsed.arguments[0] if parsed.arguments else "",
            against=parsed.text("against") if parsed.given("against") else None,
            step=parsed.text("step"),
        )
        if parsed.text("format") == "json":
            import json

            print(json.dumps(_document(build, explanations), indent=2, ensure_ascii=False))
        else:
            created = {row.ref: row.created for row in history.rows()}
            print(_text(build, explanations, created))
    return 0


def explain_build(
    history: BuildHistory, name: str, *, against: str | None, step: str
) -> tuple[RecordedBuild, list[Explanation]]:
    """Explain the steps of a build that ran, or those that `step` means, whether they ran or not.

    Args:
        name: of the record (`lamina.records.naming`).
        against: the record to compare with, by default the latest earlier build of the target.
        step: a step's number or a part of its name, "" for all that ran.

    Raises NotFound, and InvalidInput if a build still runs.
    """
    rows = history.rows()
    record = ended_record(history, rows, name, _STILL_RUNS)
    other = None
    if against is not None:
        other = ended_record(history, rows, against, _STILL_RUNS)
        if other.ref == record.ref:
            raise InvalidInput(f"build {record.ref} cannot be compared with itself")
    build = history.build(record)
    earlier = EarlierBuilds(history, target_of(record), build.started, other)
    explainer = Explainer(build, earlier)
    return build, [explainer.explain(chosen) for chosen in _chosen(build, step)]


def _chosen(build: RecordedBuild, name: str) -> tuple[Step, ...]:
    if not name:
        return explained_steps(build)
    return tuple(step for _, step in find_steps(in_order(build.steps), name))


def _text(
    build: RecordedBuild, explanations: Sequence[Explanation], created: Mapping[str, float]
) -> str:
    compared = {e.compared: None for e in explanations if e.compared}
    lines = [f"Build {build.ref}"]
    for ref in compared:
        ago = f" of {show_ago(time.time() - created[ref])}" if ref in created else ""
        lines.append(f"compared with build {ref}{ago}")
    if not keys_recorded(build):
        lines.append(_NO_KEYS)
    lines.append("")
    stages = {label_of(s.name).stage for s in build.steps if label_of(s.name).number}
    for explanation in explanations:
        step = explanation.step
        name = step_text(step) if len(stages) < _SEVERAL else step.name
        lines.append(f"{' '.join(name.split())} — {outcome_text(explanation)}")
        for cause in own_causes(explanation):
            if isinstance(cause, TextChanged):
                lines += [f"    {line}" for line in diff_lines(cause)]
    if not explanations:
        lines.append("No step missed the cache.")
    return "\n".join(lines)


def outcome_text(explanation: Explanation) -> str:
    """Whether a step was cached, or why not, in one line."""
    step = explanation.step
    lookup = step.lookup
    if step.cached and lookup is not None:
        origin = f" (imported from {lookup.origin})" if lookup.origin else ""
        return f"cached{origin}"
    if not step.ran:
        return "did not run"
    return short_text(explanation) or "is not cached"


def _document(build: RecordedBuild, explanations: Sequence[Explanation]) -> dict[str, object]:
    return {
        "ref": build.ref,
        "keysRecorded": keys_recorded(build),
        "steps": [
            {
                "digest": e.step.digest,
                "name": e.step.name,
                "cached": e.step.cached,
                "comparedWith": e.compared,
                "explanation": outcome_text(e),
                "causes": [cause_document(cause) for cause in e.causes],
                "rootCauses": [
                    {"step": root.step.digest, **cause_document(root.cause)} for root in e.roots
                ],
            }
            for e in explanations
        ],
    }

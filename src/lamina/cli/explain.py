"""`lamina explain`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput, NotFound, Unsupported
from lamina.cli.opening import builder_address, store_root
from lamina.cli.units import show_ago
from lamina.records.cause_documents import cause_document
from lamina.records.causes import TextChanged
from lamina.records.comparing import StoredBuilds
from lamina.records.explanation import Explainer, explained_steps
from lamina.records.matching import label_of
from lamina.records.naming import find_record, find_steps, in_order
from lamina.records.recorded_build import read_build
from lamina.records.recovery import recover
from lamina.records.table import RUNNING, RecordTable
from lamina.records.wording import diff_lines, short_text, step_text
from lamina.stores.store import open_store

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lamina.api.history import BuildHistoryRecord
    from lamina.cli.flags import Parsed
    from lamina.records.causes import Explanation
    from lamina.records.recorded_build import RecordedBuild
    from lamina.records.steps import Step
    from lamina.records.table import RecordRow

_SEVERAL = 2


def run(parsed: Parsed) -> int:
    """Explain why the steps of a build missed the cache."""
    address = builder_address(parsed)
    if address:
        raise Unsupported(
            f"the builds of the daemon at {address} cannot be explained from here",
            hint="use its store on its machine: --root DIR",
        )
    with open_store(store_root(parsed)) as store:
        table = RecordTable(store)
        recover(store, table)
        rows = table.rows()
        record = _ended(table, find_record(rows, parsed.arguments[0] if parsed.arguments else ""))
        against = None
        if parsed.given("against"):
            against = _ended(table, find_record(rows, parsed.text("against")))
            if against.ref == record.ref:
                raise InvalidInput(f"build {record.ref} cannot be compared with itself")
        build = read_build(store.blobs, record)
        history = StoredBuilds(store, table, table.target(record.ref), build.started, against)
        explainer = Explainer(build, history)
        explanations = [explainer.explain(s) for s in _chosen(build, parsed.text("step"))]
        if parsed.text("format") == "json":
            import json

            print(json.dumps(_document(build, explanations), indent=2, ensure_ascii=False))
        else:
            print(_text(build, explanations, table))
    return 0


def _ended(table: RecordTable, row: RecordRow) -> BuildHistoryRecord:
    if row.status == RUNNING:
        raise InvalidInput(
            f"build {row.ref} is still running", hint="its progress display shows the causes"
        )
    record = table.get(row.ref)
    if record is None:
        raise NotFound(f"the record of build {row.ref} was removed meanwhile")
    return record


def _chosen(build: RecordedBuild, name: str) -> tuple[Step, ...]:
    if not name:
        return explained_steps(build)
    return tuple(step for _, step in find_steps(in_order(build.steps), name))


def _text(build: RecordedBuild, explanations: Sequence[Explanation], table: RecordTable) -> str:
    compared = {e.compared: None for e in explanations if e.compared}
    lines = [f"Build {build.ref}"]
    for ref in compared:
        row = table.row(ref)
        ago = "" if row is None else f" of {show_ago(time.time() - row.created)}"
        lines.append(f"compared with build {ref}{ago}")
    lines.append("")
    stages = {label_of(s.name).stage for s in build.steps if label_of(s.name).number}
    for explanation in explanations:
        step = explanation.step
        name = step_text(step) if len(stages) < _SEVERAL else step.name
        lines.append(f"{' '.join(name.split())} — {_outcome(explanation)}")
        for cause in explanation.causes:
            if isinstance(cause, TextChanged):
                lines += [f"    {line}" for line in diff_lines(cause)]
    if not explanations:
        lines.append("No step missed the cache.")
    return "\n".join(lines)


def _outcome(explanation: Explanation) -> str:
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
        "steps": [
            {
                "digest": e.step.digest,
                "name": e.step.name,
                "cached": e.step.cached,
                "comparedWith": e.compared,
                "explanation": _outcome(e),
                "causes": [cause_document(cause) for cause in e.causes],
                "rootCauses": [
                    {"step": root.step.digest, **cause_document(root.cause)} for root in e.roots
                ],
            }
            for e in explanations
        ],
    }

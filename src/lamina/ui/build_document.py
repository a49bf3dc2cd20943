"""A build as a document: its request, steps, outputs and warnings."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from lamina.base.resources import total_usage
from lamina.client.attachments import attachments_of
from lamina.client.failure_details import failure_details
from lamina.client.materials import materials_of
from lamina.llb.op import MountType
from lamina.records.build_inputs import inputs_of
from lamina.records.build_outputs import outputs_of
from lamina.records.matching import is_operation, label_of, source_name
from lamina.records.recorded_build import build_of
from lamina.records.steps import step_status
from lamina.ui.build_rows import build_row
from lamina.ui.documents import (
    Attachment,
    Build,
    BuildError,
    CacheKey,
    KeyInput,
    Lines,
    Material,
    NamedValue,
    Output,
    StepDocument,
    StepState,
    Transfer,
    Usage,
    Warning,
)
from lamina.ui.shown_text import shown_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lamina.api.history import BuildHistoryRecord
    from lamina.api.progress import VertexStatus, VertexWarning
    from lamina.api.timestamp import Timestamp
    from lamina.base.resources import ResourceUsage
    from lamina.client.build_history import BuildHistory
    from lamina.records.steps import Step
    from lamina.solver.lookup import CacheLookup
    from lamina.ui.open_build import Progress

_STATES: dict[str, StepState] = {
    "not run": "waiting",
    "running": "running",
    "done": "ran",
    "cached": "cached",
    "error": "failed",
    "canceled": "canceled",
}


def build_document(history: BuildHistory, record: BuildHistoryRecord, progress: Progress) -> Build:
    """The document of a build, with its progress so far."""
    used = [step.usage for step in progress.steps if step.usage is not None]
    recorded = build_of(record, progress.steps, progress.dockerfile)
    dockerfile = record.dockerfile_path or dict(record.frontend_attrs).get("filename", "")
    return Build(
        row=build_row(record),
        inputs=[
            NamedValue(name=shown_text(n), value=shown_text(v))
            for n, v in inputs_of(record, recorded).items()
        ],
        steps=_steps(progress),
        usage=_usage(total_usage(used)) if used else None,
        warnings=[_warning(warning) for warning in progress.warnings],
        failure=_failure(history, record),
        outputs=[
            Output(kind=o.kind, name=shown_text(o.name), digest=o.digest, size=o.size)
            for o in outputs_of(record, history.blob)
        ],
        attachments=[
            Attachment(digest=a.digest, platform=a.platform, type=a.type)
            for a in attachments_of(history, record)
        ],
        materials=[
            Material(uri=shown_text(m.uri), digests=list(m.digests))
            for m in materials_of(history, record, progress.steps)
        ],
        dockerfile=shown_text(progress.dockerfile),
        dockerfileName=shown_text(os.path.basename(dockerfile)) or "Dockerfile",
        complete=progress.complete,
    )


def _failure(history: BuildHistory, record: BuildHistoryRecord) -> BuildError | None:
    if record.error is None:
        return None
    details = failure_details(history, record)
    return BuildError(
        message=shown_text(record.error.message),
        hint=shown_text(details.hint),
        sources=shown_text(details.excerpt),
    )


def _steps(progress: Progress) -> list[StepDocument]:
    ends = {step.digest: step.completed for step in progress.steps}
    transfers: dict[str, list[VertexStatus]] = {}
    for (vertex, _), state in progress.transfers.items():
        transfers.setdefault(vertex, []).append(state)
    return [
        _step(number, step, ends, transfers.get(step.digest, ()), progress)
        for number, step in enumerate(progress.steps, 1)
    ]


def _step(
    number: int,
    step: Step,
    ends: Mapping[str, float | None],
    transfers: Iterable[VertexStatus],
    progress: Progress,
) -> StepDocument:
    name = shown_text(step.name)
    label = label_of(name)
    before = [ends.get(digest) for digest in step.inputs if digest in ends]
    known = [end for end in before if end is not None]
    return StepDocument(
        number=number,
        digest=step.digest,
        name=name,
        text=label.text,
        stage=label.stage,
        platform=label.platform,
        position=label.number,
        state=_STATES[step_status(step)],
        internal=not is_operation(step) and not label.number,
        inputs=list(step.inputs),
        ready=max(known) if len(known) == len(before) and known else None,
        started=step.started,
        completed=step.completed,
        error=shown_text(step.error),
        reason=shown_text(progress.reasons.get(step.digest, "")),
        lines=None if step.lines is None else _lines(*step.lines),
        usage=None if step.usage is None else _usage(step.usage),
        cache=None if step.lookup is None else _cache(step.lookup),
        source=shown_text(source_name(step)),
        mounts=_mounts(step),
        transfers=[_transfer(state) for state in transfers],
        logLines=progress.log_lines.get(step.digest, 0),
    )


def _mounts(step: Step) -> list[str]:
    """The mounts of a command but its root, as the type and the path in the container."""
    if step.op is None or step.op.exec is None:
        return []
    return [
        f"{MountType(mount.mount_type).name.lower()} {mount.dest}"
        for mount in step.op.exec.mounts
        if mount.dest != "/"
    ]


def _lines(file: str, first: int, last: int) -> Lines:
    return Lines(file=file, first=first, last=last)


def _usage(usage: ResourceUsage) -> Usage:
    return Usage(
        cpu=None if usage.cpu_time is None else usage.cpu_time / 1e9,
        memory=usage.peak_memory,
        read=usage.bytes_read,
        written=usage.bytes_written,
        sent=usage.bytes_sent,
        received=usage.bytes_received,
    )


def _cache(lookup: CacheLookup) -> CacheKey:
    return CacheKey(
        key=lookup.key,
        operation=lookup.operation,
        origin=shown_text(lookup.origin),
        inputs=[
            KeyInput(
                step=part.vertex,
                selector=part.selector,
                digest=part.digest,
                content=part.by_content,
            )
            for part in lookup.parts
        ],
    )


def _transfer(state: VertexStatus) -> Transfer:
    return Transfer(
        name=shown_text(state.id),
        current=state.current,
        total=state.total,
        started=_seconds(state.started),
        completed=_seconds(state.completed),
    )


def _warning(warning: VertexWarning) -> Warning:
    lines = None
    if warning.info is not None and warning.ranges:
        first, last = warning.ranges[0].start, warning.ranges[-1].end
        if first is not None and last is not None:
            lines = _lines(warning.info.filename, first.line, last.line)
    return Warning(
        step=warning.vertex,
        text=shown_text(warning.short.decode("utf-8", "replace")),
        detail=[shown_text(line.decode("utf-8", "replace")) for line in warning.detail],
        url=shown_text(warning.url),
        lines=lines,
    )


def _seconds(moment: Timestamp | None) -> float | None:
    return None if moment is None else moment.nanoseconds / 1e9

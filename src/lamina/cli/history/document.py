"""A record in the format of `docker buildx history inspect --format json`, with lamina's fields."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from lamina.base.redact import redacted
from lamina.base.resources import total_usage
from lamina.cli.units import show_time
from lamina.client.attachments import attachments_of
from lamina.client.failure_details import failure_details
from lamina.client.materials import materials_of
from lamina.records.rows import RUNNING
from lamina.records.steps import step_status
from lamina.records.table import row_of
from lamina.wire.contract import Code

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lamina.api.history import BuildHistoryRecord
    from lamina.base.resources import ResourceUsage
    from lamina.client.build_history import BuildHistory
    from lamina.records.steps import Step
    from lamina.solver.lookup import CacheLookup

_CONFIG = {
    "force-network-mode": "Network",
    "hostname": "Hostname",
    "cgroup-parent": "CgroupParent",
    "image-resolve-mode": "ImageResolveMode",
    "shm-size": "ShmSize",
    "ulimit": "Ulimit",
    "memory": "Memory",
    "memswap": "MemorySwap",
    "cpushares": "CPUShares",
    "cpuperiod": "CPUPeriod",
    "cpuquota": "CPUQuota",
    "cpusetcpus": "CPUSetCPUs",
    "cpusetmems": "CPUSetMems",
    "build-arg:BUILDKIT_CACHE_MOUNT_NS": "CacheMountNS",
    "build-arg:BUILDKIT_DOCKERFILE_CHECK": "DockerfileCheckConfig",
    "build-arg:SOURCE_DATE_EPOCH": "SourceDateEpoch",
    "build-arg:SANDBOX_HOSTNAME": "SandboxHostname",
}
EMPTY: dict[str, Any] = {
    **dict.fromkeys(("Name", "Context", "Dockerfile", "VCSRepository", "VCSRevision"), ""),
    **dict.fromkeys(("Target", "CompletedAt"), ""),
    "KeepGitDir": False,
    **dict.fromkeys(("Duration", "NumWarnings"), 0),
    **dict.fromkeys(("Platform", "NamedContexts", "BuildArgs", "Labels", "Materials"), ()),
    **dict.fromkeys(("Attachments", "Outputs", "CacheImports", "CacheExports"), ()),
    **dict.fromkeys(("Error", "Resources"), None),
}
"""Values of the fields that `describe` leaves out, for templates."""
_ELSEWHERE = ("vcs:", "build-arg:", "label:", "context:", "attest:")
_USAGE = ("CPUTime", "PeakMemory", "BytesRead", "BytesWritten", "BytesSent", "BytesReceived")


def describe(
    history: BuildHistory, record: BuildHistoryRecord, steps: Sequence[Step]
) -> dict[str, Any]:
    """The document of a record. `steps` are in the order of their numbers; empty fields are left
    out.

    `Duration` of the build and of steps is in nanoseconds, as Go prints it.
    """
    row = row_of(record)
    # lamina records no passwords, but BuildKit does, in URLs.
    attributes = {key: redacted(value) for key, value in record.frontend_attrs}
    attributes.pop("frontend.caps", None)
    context = record.context_path or attributes.pop("context", "")
    found: dict[str, Any] = {
        "Name": row.name,
        "Ref": record.ref,
        "Context": context,
        "Dockerfile": _dockerfile(record, attributes),
        "VCSRepository": attributes.get("vcs:source", ""),
        "VCSRevision": attributes.get("vcs:revision", ""),
        "Target": attributes.pop("target", ""),
        "Platform": [p for p in attributes.pop("platform", "").split(",") if p],
        "KeepGitDir": _is_true(attributes.pop("build-arg:BUILDKIT_CONTEXT_KEEP_GIT_DIR", "")),
        "NamedContexts": _pairs(attributes, "context:"),
        "StartedAt": show_time(row.created),
    }
    if row.status != RUNNING:
        found["CompletedAt"] = show_time(row.completed)
        found["Duration"] = round((row.completed - row.created) * 1e9)
    found["Status"] = row.status
    found["Error"] = _error(history, record)
    found["NumWarnings"] = record.num_warnings
    config = _config(attributes)
    found["BuildArgs"] = _pairs(attributes, "build-arg:")
    found["Labels"] = _pairs(attributes, "label:")
    found["Materials"] = [
        {"URI": material.uri, **({"Digests": list(material.digests)} if material.digests else {})}
        for material in materials_of(history, record, steps)
    ]
    found["Attachments"] = list(_attachments(history, record))
    found["Outputs"] = [
        {"Type": output.type, "Attributes": dict(output.attrs)} for output in record.exporters
    ]
    for name, caches in (
        ("CacheImports", record.cache_imports),
        ("CacheExports", record.cache_exports),
    ):
        found[name] = [{"Type": cache.type, "Attributes": dict(cache.attrs)} for cache in caches]
    used = [step.usage for step in steps if step.usage is not None]
    found["Resources"] = usage_document(total_usage(used)) if used else {}
    counts = _counts(record, steps)
    found = {key: value for key, value in found.items() if value}
    return {
        **found,
        **counts,
        "Config": config,
        "Steps": [_step(number, step) for number, step in enumerate(steps, 1)],
    }


def _counts(record: BuildHistoryRecord, steps: Sequence[Step]) -> dict[str, int]:
    """The counts of the record; for a running build, those of its log so far."""
    if record.completed_at is not None:
        completed, total = record.num_completed_steps, record.num_total_steps
        cached = record.num_cached_steps
    else:
        completed = sum(step.completed is not None for step in steps)
        total, cached = len(steps), sum(step.cached for step in steps)
    return {"NumCompletedSteps": completed, "NumTotalSteps": total, "NumCachedSteps": cached}


def _dockerfile(record: BuildHistoryRecord, attributes: dict[str, str]) -> str:
    name = attributes.pop("filename", "")
    path = record.dockerfile_path
    if not path:
        return os.path.join(attributes.get("vcs:localdir:dockerfile", ""), name) if name else ""
    folder = record.context_path
    if folder and path.startswith(folder.rstrip("/") + "/"):
        return os.path.relpath(path, folder)
    return path


def _config(attributes: dict[str, str]) -> dict[str, Any]:
    """Move the frontend's options from `attributes` to named fields. Unknown ones stay raw."""
    config: dict[str, Any] = {}
    for key, name in _CONFIG.items():
        if value := attributes.pop(key, ""):
            config[name] = value
    if hosts := attributes.pop("add-hosts", ""):
        config["ExtraHosts"] = hosts.split(",")
    for key in ("build-arg:BUILDKIT_MULTI_PLATFORM", "multi-platform"):
        if _is_true(attributes.pop(key, "")):
            config["MultiPlatform"] = True
    if "no-cache" in attributes:
        stages = attributes.pop("no-cache")
        if stages:
            config["NoCacheFilter"] = stages.split(",")
        else:
            config["NoCache"] = True
    rest = {k: v for k, v in attributes.items() if not k.startswith(_ELSEWHERE)}
    if rest:
        config["RestRaw"] = [{"Name": key, "Value": rest[key]} for key in sorted(rest)]
    return config


def _pairs(attributes: dict[str, str], prefix: str) -> list[dict[str, str]]:
    return [
        {"Name": key.removeprefix(prefix), "Value": attributes[key]}
        for key in sorted(attributes)
        if key.startswith(prefix)
    ]


def _is_true(text: str) -> bool:
    from lamina.base.booleans import parse_bool

    return bool(parse_bool(text))


def _error(history: BuildHistory, record: BuildHistoryRecord) -> dict[str, Any]:
    if record.error is None:
        return {}
    found: dict[str, Any] = {"Code": record.error.code, "Message": record.error.message}
    if record.external_error is not None:
        details = failure_details(history, record)
        found.update({"Hint": details.hint} if details.hint else {})
        found.update({"Sources": details.excerpt} if details.excerpt else {})
    return found


def code_name(code: int) -> str:
    """The name of a gRPC status code as Go prints it, for example `NotFound`."""
    try:
        return Code(code).name.title().replace("_", "")
    except ValueError:
        return f"Code({code})"


def _attachments(history: BuildHistory, record: BuildHistoryRecord) -> Iterator[dict[str, str]]:
    for target in attachments_of(history, record):
        found = {"Digest": target.digest, "Platform": target.platform, "Type": target.type}
        yield {key: value for key, value in found.items() if value}


def _step(number: int, step: Step) -> dict[str, Any]:
    found: dict[str, Any] = {
        "Number": number,
        "Name": step.name,
        "Digest": step.digest,
        "Status": step_status(step),
    }
    if step.started is not None:
        found["StartedAt"] = show_time(step.started)
    if step.completed is not None:
        found["CompletedAt"] = show_time(step.completed)
        found["Duration"] = round(step.duration * 1e9)
    if step.inputs:
        found["Inputs"] = list(step.inputs)
    if step.error:
        found["Error"] = step.error
    if step.lines is not None:
        found["Location"] = {
            "Filename": step.lines.filename,
            "First": step.lines.first,
            "Last": step.lines.last,
        }
    if step.usage is not None:
        found["Resources"] = usage_document(step.usage)
    if step.lookup is not None:
        found["Cache"] = _cache(step.lookup)
    return found


def usage_document(usage: ResourceUsage) -> dict[str, int]:
    """The known values, in nanoseconds and bytes."""
    values = zip(_USAGE, usage, strict=True)
    return {name: value for name, value in values if value is not None}


def _cache(lookup: CacheLookup) -> dict[str, Any]:
    found: dict[str, Any] = {
        "Key": lookup.key,
        "Operation": lookup.operation,
        "Hit": lookup.hit,
        "Inputs": [
            {
                "Step": part.vertex,
                "Output": part.output,
                **({"Selector": part.selector} if part.selector else {}),
                ("Content" if part.by_content else "Key"): part.digest,
            }
            for part in lookup.parts
        ],
    }
    for name in ("recorded", "ignored", "ephemeral"):
        if getattr(lookup, name):
            found[name.capitalize()] = True
    if lookup.origin:
        found["Origin"] = lookup.origin
    if lookup.resolved:
        found["Resolved"] = lookup.resolved
    return found

"""A record in the format of `docker buildx history inspect --format json`, with lamina's fields."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from lamina.base.errors import LaminaError
from lamina.base.redact import redacted
from lamina.base.resources import total_usage
from lamina.cli.history.attachments import attachments_of
from lamina.cli.units import show_time
from lamina.records.rows import RUNNING
from lamina.records.table import row_of
from lamina.wire.contract import Code

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lamina.api.descriptor import Descriptor
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
_PREDICATE = "in-toto.io/predicate-type"
_PROVENANCE = "https://slsa.dev/provenance/"
_MATERIALS = ("docker-image://", "git://", "http://", "https://")


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
    found["Materials"] = _materials(history, record, steps)
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
        found.update(_evidence(history, record.external_error.digest))
    return found


def _evidence(history: BuildHistory, digest: str) -> dict[str, Any]:
    """The hint and the excerpt of the Dockerfile, if the details of the error contain them."""
    from lamina.api.failures import from_status
    from lamina.api.status import SCHEMA, Status, error_of
    from lamina.wire.protobuf import decode

    try:
        status: Status = decode(history.blob(digest), Status, SCHEMA)
        error = from_status(error_of(status))
    except LaminaError:
        return {}  # the message of the record is used
    found: dict[str, Any] = {"Hint": error.hint} if error.hint else {}
    if error.location is not None and (excerpt := error.location.excerpt()):
        found["Sources"] = excerpt
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


def _type(target: Descriptor) -> str:
    return dict(target.annotations).get(_PREDICATE, target.media_type)


def _materials(
    history: BuildHistory, record: BuildHistoryRecord, steps: Sequence[Step]
) -> list[dict[str, Any]]:
    """The materials of the provenance if the record has one, else the sources of the build's
    ops."""
    for _, result in (("", record.result), *record.results):
        for target in () if result is None else result.attestations:
            if _type(target).startswith(_PROVENANCE):
                try:
                    return _from_provenance(json.loads(history.blob(target.digest)))
                except (LaminaError, ValueError):
                    break  # the ops are used
    found: dict[str, list[str]] = {}
    for step in steps:
        if step.op is not None and step.op.source is not None:
            name, _, digest = step.op.source.identifier.partition("@")
            if name.startswith(_MATERIALS):
                found.setdefault(redacted(name), [digest] if ":" in digest else [])
    return [
        {"URI": uri, "Digests": digests} if digests else {"URI": uri}
        for uri, digests in found.items()
    ]


def _from_provenance(document: Any) -> list[dict[str, Any]]:
    predicate = document.get("predicate", document) if isinstance(document, dict) else {}
    listed = predicate.get("buildDefinition", {}).get("resolvedDependencies")
    if listed is None:
        listed = predicate.get("materials") or []
    return [
        {
            "URI": str(item.get("uri", "")),
            "Digests": [f"{kind}:{value}" for kind, value in item.get("digest", {}).items()],
        }
        for item in listed
    ]


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


def step_status(step: Step) -> str:
    """The status of a step: `not run`, `running`, `cached`, `error`, `canceled` or `done`."""
    if step.error:
        return "canceled" if "context canceled" in step.error else "error"
    if step.cached:
        return "cached"
    if step.started is None:
        return "not run"
    return "running" if step.completed is None else "done"


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
    return found

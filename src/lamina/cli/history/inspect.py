"""`lamina history inspect`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from lamina.cli.history.document import EMPTY, code_name, describe
from lamina.cli.history.ls import show_duration
from lamina.cli.opening import open_history
from lamina.cli.progress.text import encoded, plain
from lamina.cli.tables import chosen_format, is_template, table
from lamina.cli.units import show_size
from lamina.records.naming import find_record, in_order
from lamina.records.steps import steps_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lamina.api.history import BuildHistoryRecord
    from lamina.api.progress import StatusResponse
    from lamina.cli.flags import Parsed
    from lamina.records.steps import Step

_CONFIG = {
    "Network": "Network",
    "Hostname": "Hostname",
    "ExtraHosts": "Extra Hosts",
    "CgroupParent": "Cgroup Parent",
    "ImageResolveMode": "Image Resolve Mode",
    "MultiPlatform": "Multi-Platform",
    "NoCache": "No Cache",
    "NoCacheFilter": "No Cache Filter",
    "ShmSize": "Shm Size",
    "Ulimit": "Resource Limits",
    "Memory": "Memory",
    "MemorySwap": "Memory Swap",
    "CPUShares": "CPU Shares",
    "CPUPeriod": "CPU Period",
    "CPUQuota": "CPU Quota",
    "CPUSetCPUs": "CPUSet CPUs",
    "CPUSetMems": "CPUSet Mems",
    "CacheMountNS": "Cache Mount Namespace",
    "DockerfileCheckConfig": "Dockerfile Check Config",
    "SourceDateEpoch": "Source Date Epoch",
    "SandboxHostname": "Sandbox Hostname",
}
_LOG_LINES = 16
_PLAIN = "The builder recorded no cache keys (only lamina does)."
_KEY = 19  # characters of a digest, including its algorithm


def run(parsed: Parsed, names: list[str]) -> int:
    """Print everything in a record except its log."""
    output = chosen_format(parsed, "pretty", "json")
    with open_history(parsed) as history:
        record = history.record(find_record(history.rows(), names[0] if names else "").ref)
        messages = list(history.log(record))
        steps = in_order(steps_of(messages, history.definition))
        document = describe(history, record, steps)
    if output == "json":
        import json

        text = json.dumps(document, indent=2, ensure_ascii=False)
    elif is_template(output):
        from lamina.base.go_template import GoTemplate, Struct

        text = GoTemplate(output).render(Struct({**EMPTY, **document}))
    else:
        text = "\n\n".join(_sections(record, document, steps, messages))
    print(encoded(text).decode("utf-8", "replace"))  # file names may not be UTF-8
    return 0


def _sections(
    record: BuildHistoryRecord,
    document: dict[str, Any],
    steps: Sequence[Step],
    messages: Iterable[StatusResponse],
) -> list[str]:
    """The paragraphs of buildx, and a table of the steps."""
    sections = [
        _fields(
            ("Name", document.get("Name")),
            ("Ref", record.ref),
            ("Context", document.get("Context")),
            ("Dockerfile", document.get("Dockerfile")),
            ("VCS Repository", document.get("VCSRepository")),
            ("VCS Revision", document.get("VCSRevision")),
            ("Target", document.get("Target")),
            ("Platforms", ", ".join(document.get("Platform", ()))),
            ("Keep Git Dir", document.get("KeepGitDir")),
        ),
        _named(document.get("NamedContexts"), "NAMED CONTEXT"),
        _fields(
            ("Started", document["StartedAt"]),
            ("Duration", _duration(document, record)),
            *_outcome(document),
            ("Build Steps", _progress(document)),
            ("Warnings", document.get("NumWarnings")),
            ("Resources", _resources(document.get("Resources", {}))),
        ),
        _fields(
            *((label, _text(document["Config"].get(key))) for key, label in _CONFIG.items()),
            *((raw["Name"], raw["Value"]) for raw in document["Config"].get("RestRaw", ())),
        ),
        _named(document.get("BuildArgs"), "BUILD ARG"),
        _named(document.get("Labels"), "LABEL"),
        *(
            _options(document.get(key), title)
            for key, title in (
                ("Outputs", "OUTPUT"),
                ("CacheImports", "CACHE IMPORT"),
                ("CacheExports", "CACHE EXPORT"),
            )
        ),
        _listed(
            ("URI", "DIGEST"),
            ((m["URI"], ", ".join(m.get("Digests", ()))) for m in document.get("Materials", ())),
            "Materials",
        ),
        _listed(
            ("DIGEST", "PLATFORM", "TYPE"),
            (
                (a["Digest"], a.get("Platform", ""), a["Type"])
                for a in document.get("Attachments", ())
            ),
            "Attachments",
        ),
        _steps(document["Steps"]),
        _failure(document, steps, messages),
        _PLAIN if steps and all(step.lookup is None for step in steps) else "",
        f"Print build logs: lamina history logs {record.ref}",
    ]
    return [section for section in sections if section]


def _fields(*fields: tuple[str, Any]) -> str:
    shown = [(name, str(value)) for name, value in fields if value]
    column = max((len(name) for name, _ in shown), default=0) + 2
    return "\n".join(f"{name + ':':<{column}}{plain(value)}" for name, value in shown)


def _listed(header: tuple[str, ...], rows: Iterable[tuple[str, ...]], title: str = "") -> str:
    shown = [tuple(map(plain, row)) for row in rows]
    if not shown:
        return ""
    return (f"{title}:\n" if title else "") + table(header, shown)


def _named(pairs: list[dict[str, str]] | None, title: str) -> str:
    return _listed((title, "VALUE"), ((pair["Name"], pair["Value"]) for pair in pairs or ()))


def _options(options: list[dict[str, Any]] | None, title: str) -> str:
    return _listed(
        (title, "ATTRIBUTES"),
        (
            (option["Type"], ",".join(f"{k}={v}" for k, v in option["Attributes"].items()))
            for option in options or ()
        ),
    )


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(value)
    return "true" if value is True else value or ""


def _duration(document: dict[str, Any], record: BuildHistoryRecord) -> str:
    if "Duration" in document:
        return show_duration(document["Duration"] / 1e9)
    assert record.created_at is not None
    return f"{show_duration(time.time() - record.created_at.nanoseconds / 1e9)} (running)"


def _outcome(document: dict[str, Any]) -> list[tuple[str, str]]:
    if document["Status"] == "canceled":
        return [("Status", "Canceled")]
    error = document.get("Error")
    if error is None:
        return []
    return [("Error", f"{code_name(error['Code'])} {error['Message']}")]


def _progress(document: dict[str, Any]) -> str:
    completed, total = document["NumCompletedSteps"], document["NumTotalSteps"]
    cached = document["NumCachedSteps"] / total * 100 if total else 0.0
    return f"{completed}/{total} ({cached:.0f}% cached)"


def _resources(used: dict[str, int]) -> str:
    """The resource usage of all steps: sums, and the highest peak of memory."""
    parts = [f"{used['CPUTime'] / 1e9:.1f}s CPU"] if "CPUTime" in used else []
    if "PeakMemory" in used:
        parts.append(f"{show_size(used['PeakMemory'])} peak memory")
    for first, second, wording in (
        ("BytesRead", "BytesWritten", "{} read, {} written"),
        ("BytesSent", "BytesReceived", "{} sent, {} received"),
    ):
        if first in used:
            parts.append(wording.format(show_size(used[first]), show_size(used[second])))
    return ", ".join(parts)


def _steps(steps: list[dict[str, Any]]) -> str:
    return _listed(
        ("#", "STATUS", "DURATION", "CPU", "MEMORY", "CACHE KEY", "NAME"),
        (
            (
                str(step["Number"]),
                step["Status"],
                show_duration(step["Duration"] / 1e9) if "Duration" in step else "",
                *_step_resources(step.get("Resources", {})),
                step.get("Cache", {}).get("Key", "")[:_KEY],
                step["Name"],
            )
            for step in steps
        ),
        "Steps",
    )


def _step_resources(used: dict[str, int]) -> tuple[str, str]:
    """The CPU time and the peak memory of a step, "" if not known."""
    cpu = f"{used['CPUTime'] / 1e9:.1f}s" if "CPUTime" in used else ""
    return cpu, show_size(used["PeakMemory"]) if "PeakMemory" in used else ""


def _failure(
    document: dict[str, Any], steps: Sequence[Step], messages: Iterable[StatusResponse]
) -> str:
    """The excerpt of the Dockerfile, and the last lines of the failed step."""
    error = document.get("Error", {})
    parts = [error["Sources"]] if "Sources" in error else []
    if "Hint" in error:
        parts.append(f"hint: {error['Hint']}")
    failed = next((s for s in steps if s.error and "context canceled" not in s.error), None)
    if failed is not None:
        data = b"".join(
            log.msg for message in messages for log in message.logs if log.vertex == failed.digest
        )
        lines = data.decode("utf-8", "replace").splitlines()[-_LOG_LINES:]
        if lines:
            shown = "\n".join(f"> {plain(line)}" for line in lines)
            parts.append(f"Logs:\n> => {plain(failed.name)}:\n{shown}")
    return "\n\n".join(parts)

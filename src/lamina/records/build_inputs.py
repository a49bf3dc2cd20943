"""The inputs of a build, as names and values that can be compared."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.redact import redacted
from lamina.records.matching import is_local, source_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lamina.api.history import BuildHistoryRecord
    from lamina.api.outputs import CacheOptionsEntry
    from lamina.records.recorded_build import RecordedBuild
    from lamina.records.steps import Step

_PREFIXES = {
    "build-arg:": "build argument",
    "label:": "label",
    "context:": "named context",
    "attest:": "attestation",
    "vcs:": "version control",
}
_NAMES = {
    "target": "target",
    "platform": "platform",
    "no-cache": "no-cache",
    "force-network-mode": "network",
    "add-hosts": "added hosts",
    "filename": "Dockerfile",
}
_NO_INPUTS = ("frontend.caps", "context", "dockerfilekey", "contextkey", "source", "cmdline")
"""Attributes that only connect clients with builders, and are no inputs."""
_ALL_STAGES = "all stages"


def inputs_of(record: BuildHistoryRecord, build: RecordedBuild) -> dict[str, str]:
    """The values of a build's inputs by their names.

    Sources have the digest, or the ref and the commit, that they were resolved to.
    """
    attributes = dict(record.frontend_attrs)
    found = {"context": record.context_path or attributes.get("context", "")}
    for key, value in attributes.items():
        if key in _NO_INPUTS or key.startswith(("sharedkey:", "vcs:localdir:")):
            continue
        shown = redacted(value)
        if key == "no-cache":
            shown = value or _ALL_STAGES
        found[_name(key)] = shown
    if record.dockerfile_path:
        found["Dockerfile"] = record.dockerfile_path
    found.update(_caches("imported cache", record.cache_imports))
    found.update(_caches("exported cache", record.cache_exports))
    for step in build.steps:
        if source_name(step) and not is_local(step):
            found[f"source {_shown(step)}"] = _resolved(step)
    return {name: value for name, value in found.items() if value}


def _name(key: str) -> str:
    for prefix, kind in _PREFIXES.items():
        if key.startswith(prefix):
            return f"{kind} {key.removeprefix(prefix)}"
    return _NAMES.get(key, f"option {key}")


def _caches(name: str, entries: tuple[CacheOptionsEntry, ...]) -> Iterator[tuple[str, str]]:
    for number, entry in enumerate(entries, 1):
        pairs = (f"{key}={value}" for key, value in entry.attrs)
        yield f"{name} {number}", ",".join((f"type={entry.type}", *pairs))


def _shown(step: Step) -> str:
    return redacted(source_name(step).removeprefix("docker-image://"))


def _resolved(step: Step) -> str:
    assert step.op is not None
    assert step.op.source is not None
    _, _, digest = step.op.source.identifier.partition("@sha256:")
    if digest:
        return f"sha256:{digest}"
    return "" if step.lookup is None else step.lookup.resolved or step.lookup.operation

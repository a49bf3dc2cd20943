"""The materials of a build: its inputs by digest."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from lamina.base.errors import LaminaError
from lamina.base.named_tuple import NamedTuple
from lamina.base.redact import redacted
from lamina.client.attachments import recorded_type

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lamina.api.history import BuildHistoryRecord
    from lamina.client.build_history import BuildHistory
    from lamina.records.steps import Step

_PROVENANCE = "https://slsa.dev/provenance/"
_MATERIALS = ("docker-image://", "git://", "http://", "https://")


class Material(NamedTuple):
    """An input of a build. `digests` is empty if they are not known."""

    uri: str
    digests: tuple[str, ...] = ()


def materials_of(
    history: BuildHistory, record: BuildHistoryRecord, steps: Sequence[Step]
) -> tuple[Material, ...]:
    """The materials of the provenance if the record has one, else the sources of the build's
    ops."""
    for _, result in (("", record.result), *record.results):
        for target in () if result is None else result.attestations:
            if recorded_type(target).startswith(_PROVENANCE):
                try:
                    return _from_provenance(json.loads(history.blob(target.digest)))
                except (LaminaError, ValueError, AttributeError):
                    break  # the ops are used
    found: dict[str, Material] = {}
    for step in steps:
        if step.op is not None and step.op.source is not None:
            name, _, digest = step.op.source.identifier.partition("@")
            if name.startswith(_MATERIALS):
                uri = redacted(name)
                found.setdefault(uri, Material(uri, (digest,) if ":" in digest else ()))
    return tuple(found.values())


def _from_provenance(document: Any) -> tuple[Material, ...]:
    predicate = document.get("predicate", document) if isinstance(document, dict) else {}
    listed = predicate.get("buildDefinition", {}).get("resolvedDependencies")
    if listed is None:
        listed = predicate.get("materials") or []
    return tuple(
        Material(
            str(item.get("uri", "")),
            tuple(f"{kind}:{value}" for kind, value in item.get("digest", {}).items()),
        )
        for item in listed
    )

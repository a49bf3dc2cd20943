"""The steps of a definition in provenance, and their source files."""

from __future__ import annotations

from base64 import b64encode
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from lamina.base.digest import digest_of
from lamina.base.redact import redacted_bytes, redacted_values
from lamina.llb.codec import decode_op
from lamina.llb.gojson import message

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lamina.llb.op import Definition, Op

_CLIENTS_OWN = ("local.session", "local.unique")
_NONE: MappingProxyType[str, Mapping[str, Any]] = MappingProxyType({})
_KINDS = ("exec", "source", "file", "build", "merge", "diff", "passthrough")


def build_steps(
    definition: Definition | None, usage: Mapping[str, Mapping[str, Any]] = _NONE
) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """The steps, inputs before users, and the index of each by its digest.

    `usage` are results of `usage_samples`, by digest.
    """
    if definition is None or not definition.ops:
        return [], {}
    ops = {str(digest_of(data)): decode_op(data) for data in definition.ops}
    numbers: dict[str, int] = {}
    stack = [(str(digest_of(definition.ops[-1])), False)]
    while stack:
        digest, ready = stack.pop()
        if digest in numbers:
            continue
        if ready:
            numbers[digest] = len(numbers)
            continue
        stack.append((digest, True))
        stack += [(entry.digest, False) for entry in reversed(ops[digest].inputs)]
    steps = []
    for digest, place in numbers.items():
        inputs = [f"step{numbers[entry.digest]}:{entry.output}" for entry in ops[digest].inputs]
        step: dict[str, Any] = {"id": f"step{place}", "op": _op(ops[digest])}
        if inputs:
            step["inputs"] = inputs
        if digest in usage:
            step["resourceUsage"] = usage[digest]
        steps.append(step)
    return steps, numbers


def digest_mapping(numbers: dict[str, int]) -> dict[str, str]:
    return {digest: f"step{numbers[digest]}" for digest in sorted(numbers)}


def source_texts(definition: Definition, numbers: dict[str, int]) -> dict[str, Any] | None:
    """The source files, and the position of each step in them; None if the definition has none."""
    source = definition.source
    if source is None or not source.infos:
        return None
    infos = []
    for info in source.infos:
        shown = {"filename": info.filename, "language": info.language}
        document: dict[str, Any] = {key: value for key, value in shown.items() if value}
        if info.data:
            document["data"] = b64encode(redacted_bytes(info.data)).decode()
        steps, inner = build_steps(info.definition)
        if steps:
            document["llbDefinition"] = steps
            document["digestMapping"] = digest_mapping(inner)
        infos.append(document)
    located = {
        f"step{numbers[digest]}": message(locations)
        for digest, locations in source.locations
        if digest in numbers
    }
    found: dict[str, Any] = {"locations": dict(sorted(located.items()))} if located else {}
    return {**found, "infos": infos}


def _op(value: Op) -> dict[str, Any]:
    if value.source is not None:
        attrs = tuple(pair for pair in value.source.attrs if pair[0] not in _CLIENTS_OWN)
        value = value._replace(source=value.source._replace(attrs=attrs))
    value = redacted_values(value)
    bodies = ((kind, getattr(value, kind)) for kind in _KINDS)
    shown: dict[str, Any] = {
        "Op": {kind: message(body) for kind, body in bodies if body is not None}
    }
    if value.platform is not None:
        shown["platform"] = message(value.platform)
    if value.constraints is not None:
        shown["constraints"] = message(value.constraints)
    return shown

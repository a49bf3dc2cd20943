"""Typed errors in a call's status (BuildKit's `solver/errdefs`, `util/grpcerrors`, `util/stack`).

They are details whose value is JSON, not protobuf, under a type URL of BuildKit's own
that ends in `+json`. Most are written as Go's `encoding/json` writes their structs; `Solve` as
protobuf's JSON mapping, in which 64-bit numbers are text.
"""

from __future__ import annotations

import base64
import json
from typing import Any

from lamina.api.sourcepolicy import PolicyAction
from lamina.base.named_tuple import NamedTuple
from lamina.llb.gojson import message
from lamina.llb.op import Definition, Op, Position, Range, SourceInfo
from lamina.wire.contract import Detail, StatusError

_PREFIX = "github.com/moby/buildkit/"
_BODIES = ("exec", "source", "file", "build", "merge", "diff", "passthrough")
_WRAPPERS = ("Action", "User")
_RENAMED = {"byId": "byID"}


class Vertex(NamedTuple):
    """The step that failed."""

    digest: str = ""


class Source(NamedTuple):
    """The location in a text that caused the failure.

    Only the ops of `info.definition`, from which the text was read, are sent.
    """

    info: SourceInfo | None = None
    ranges: tuple[Range, ...] = ()


class Frontend(NamedTuple):
    """The frontend that failed; `source` is its image, if it has one."""

    name: str = ""
    source: str = ""


class FrontendCap(NamedTuple):
    """A required capability that a frontend does not have."""

    name: str = ""


class Subrequest(NamedTuple):
    """A request (`frontend.outline`, …) that a frontend does not implement."""

    name: str = ""


class Solve(NamedTuple):
    """The refs that a client may inspect after a failure (in `gateway` containers), by ID.

    `op` is the failed op; it is encoded, but not decoded. `file_action` or `content_cache` is the
    index of the action of a file op, or of the input whose content was digested, that was the
    cause.
    """

    input_ids: tuple[str, ...] = ()
    mount_ids: tuple[str, ...] = ()
    file_action: int | None = None
    content_cache: int | None = None
    description: tuple[tuple[str, str], ...] = ()
    op: Op | None = None


class ProvenanceMaterialsIncomplete(NamedTuple):
    """Materials without a digest in the provenance: the name and the reason of each
    (`local_source`)."""

    incomplete: tuple[tuple[str, str], ...] = ()


class SourceDecision(NamedTuple):
    """The messages of a client whose source policy denied a source."""

    messages: tuple[str, ...] = ()


class Exit(NamedTuple):
    """A command's exit status."""

    code: int = 0


class Frame(NamedTuple):
    name: str = ""
    file: str = ""
    line: int = 0


class Stack(NamedTuple):
    """The stack trace of a failure; clients show it in debug mode."""

    frames: tuple[Frame, ...] = ()
    cmdline: tuple[str, ...] = ()
    pid: int = 0
    version: str = ""
    revision: str = ""


TypedError = (
    Vertex
    | Source
    | Frontend
    | FrontendCap
    | Subrequest
    | Solve
    | ProvenanceMaterialsIncomplete
    | SourceDecision
    | Exit
    | Stack
)

_URLS: dict[type, str] = {
    Vertex: _PREFIX + "errdefs.Vertex+json",
    Source: _PREFIX + "errdefs.Source+json",
    Frontend: _PREFIX + "errdefs.Frontend+json",
    FrontendCap: _PREFIX + "errdefs.FrontendCap+json",
    Subrequest: _PREFIX + "errdefs.Subrequest+json",
    Solve: _PREFIX + "errdefs.Solve+json",
    ProvenanceMaterialsIncomplete: _PREFIX + "errdefs.ProvenanceMaterialsIncomplete+json",
    SourceDecision: _PREFIX + "policysession.DecisionResponse+json",
    Exit: _PREFIX + "gatewayapi.ExitMessage+json",
    Stack: _PREFIX + "stack.Stack+json",
}
_TYPES = {url: kind for kind, url in _URLS.items()}


def detail_of(error: TypedError) -> Detail:
    """A typed error as a detail of a status."""
    text = json.dumps(_to_json(error), separators=(",", ":"), ensure_ascii=False)
    return Detail(_URLS[type(error)], text.encode("utf-8", "replace"))


def typed_errors(error: StatusError) -> list[TypedError]:
    """The known details, in order. Unknown and malformed ones are left out."""
    found = []
    for detail in error.details:
        kind = _TYPES.get(detail.type_url)
        if kind is None:
            continue
        try:
            loaded = json.loads(detail.value)
            found.append(_from_json(kind, loaded))
        except (ValueError, TypeError, AttributeError, KeyError):
            continue
    return found


def _to_json(error: TypedError) -> dict[str, Any]:
    match error:
        case Vertex(digest):
            return _present(digest=digest)
        case Source(info, ranges):
            return _present(
                info=_info_to_json(info) if info is not None else None,
                ranges=[_range_to_json(item) for item in ranges],
            )
        case Frontend(name, source):
            return _present(name=name, source=source)
        case FrontendCap(name) | Subrequest(name):
            return _present(name=name)
        case Solve():
            return _present(
                inputIDs=list(error.input_ids),
                mountIDs=list(error.mount_ids),
                op=_op_to_json(error.op) if error.op is not None else None,
                file=_index_to_json(error.file_action),
                cache=_index_to_json(error.content_cache),
                description=dict(error.description),
            )
        case ProvenanceMaterialsIncomplete(incomplete):
            return _present(incomplete=[_present(name=n, reason=why) for n, why in incomplete])
        case SourceDecision(messages):
            return _present(
                action=int(PolicyAction.DENY),
                denyMessages=[_present(message=text) for text in messages],
            )
        case Exit(code):
            return _present(Code=code)
        case Stack(frames, cmdline, pid, version, revision):
            return _present(
                frames=[_present(Name=f.name, File=f.file, Line=f.line) for f in frames],
                cmdline=list(cmdline),
                pid=pid,
                version=version,
                revision=revision,
            )


def _from_json(kind: type, value: dict[str, Any]) -> TypedError:
    if kind is Source:
        info = value.get("info")
        return Source(
            _info_from_json(info) if info else None,
            tuple(_range_from_json(item) for item in value.get("ranges") or ()),
        )
    if kind is Solve:
        return Solve(
            tuple(value.get("inputIDs") or ()),
            tuple(value.get("mountIDs") or ()),
            _index_from_json(value.get("file")),
            _index_from_json(value.get("cache")),
            tuple(sorted((value.get("description") or {}).items())),
        )
    if kind is ProvenanceMaterialsIncomplete:
        return ProvenanceMaterialsIncomplete(
            tuple(
                (str(item.get("name", "")), str(item.get("reason", "")))
                for item in value.get("incomplete") or ()
            )
        )
    if kind is SourceDecision:
        messages = value.get("denyMessages") or ()
        return SourceDecision(tuple(str(item.get("message", "")) for item in messages))
    if kind is Exit:
        return Exit(int(value.get("Code", 0)))
    if kind is Stack:
        return Stack(
            tuple(
                Frame(str(f.get("Name", "")), str(f.get("File", "")), int(f.get("Line", 0)))
                for f in value.get("frames") or ()
            ),
            tuple(value.get("cmdline") or ()),
            int(value.get("pid", 0)),
            str(value.get("version", "")),
            str(value.get("revision", "")),
        )
    if kind is Vertex:
        return Vertex(str(value.get("digest", "")))
    if kind is Frontend:
        return Frontend(str(value.get("name", "")), str(value.get("source", "")))
    if kind is FrontendCap:
        return FrontendCap(str(value.get("name", "")))
    return Subrequest(str(value.get("name", "")))


def _present(**members: Any) -> dict[str, Any]:
    """Without zero values (Go's `omitempty`)."""
    return {name: value for name, value in members.items() if value}


def _info_to_json(info: SourceInfo) -> dict[str, Any]:
    return _present(
        filename=info.filename,
        data=base64.b64encode(info.data).decode(),
        definition=_definition_to_json(info.definition),
        language=info.language,
    )


def _definition_to_json(definition: Definition | None) -> dict[str, Any] | None:
    if definition is None:
        return None
    return {"def": [base64.b64encode(op).decode() for op in definition.ops]}


def _info_from_json(value: dict[str, Any]) -> SourceInfo:
    return SourceInfo(
        filename=str(value.get("filename", "")),
        data=base64.b64decode(value.get("data") or ""),
        definition=_definition_from_json(value.get("definition")),
        language=str(value.get("language", "")),
    )


def _definition_from_json(value: dict[str, Any] | None) -> Definition | None:
    if not value:
        return None
    return Definition(tuple(base64.b64decode(op) for op in value.get("def") or ()))


def _range_to_json(item: Range) -> dict[str, Any]:
    # Both ends are always present: Go's clients read them without a check.
    start, end = item.start or Position(), item.end or Position()
    return {"start": _position_to_json(start), "end": _position_to_json(end)}


def _position_to_json(position: Position) -> dict[str, Any]:
    return _present(line=position.line, character=position.character)


def _range_from_json(value: dict[str, Any]) -> Range:
    def position(name: str) -> Position:
        place = value.get(name) or {}
        return Position(int(place.get("line", 0)), int(place.get("character", 0)))

    return Range(position("start"), position("end"))


def _op_to_json(op: Op) -> dict[str, Any]:
    """Protobuf's JSON mapping, with the fields' original names and the numbers of enums."""
    inputs = [_present(digest=str(entry.digest), index=entry.output) for entry in op.inputs]
    bodies = {kind: getattr(op, kind) for kind in _BODIES}
    found = {kind: message(body) for kind, body in bodies.items() if body is not None}
    if "file" in found:
        found["file"] = _without_wrappers(found["file"])
    for kind in ("platform", "constraints"):
        if (value := getattr(op, kind)) is not None:
            found[kind] = message(value)
    return {**found, **_present(inputs=inputs)}


def _without_wrappers(value: Any) -> Any:
    """Go encodes a oneof in a separate member; protobuf's mapping does not."""
    if isinstance(value, list):
        return [_without_wrappers(item) for item in value]
    if not isinstance(value, dict):
        return value
    found: dict[str, Any] = {}
    for name, member in value.items():
        inner = _without_wrappers(member)
        found.update(inner if name in _WRAPPERS else {_RENAMED.get(name) or name: inner})
    return found


def _index_to_json(index: int | None) -> dict[str, str] | None:
    return {"index": str(index)} if index is not None else None


def _index_from_json(value: dict[str, Any] | None) -> int | None:
    return int(value.get("index", 0)) if value is not None else None

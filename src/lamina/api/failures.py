"""Converts LaminaErrors to statuses of calls and back.

BuildKit's clients show the message, after the code's name unless that is UNKNOWN. So most failures
are UNKNOWN, as in buildkitd, and typed details describe them: the location in the text, the step,
the command's exit status. The kind and the hint are a further detail for lamina's client, which
other clients ignore.
"""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING

from lamina import __version__
from lamina.api import errors as typed
from lamina.base import errors
from lamina.base.location import Location
from lamina.base.redact import redacted, redacted_values
from lamina.llb.codec import decode_definition, decode_op
from lamina.llb.op import Position, Range, SourceInfo
from lamina.wire.contract import Code, Detail, StatusError
from lamina.wire.status import kind_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

    from lamina.base.errors import LaminaError

_URL = "lamina/errors.Error+json"
_CODES: dict[type[LaminaError], Code] = {
    errors.Cancelled: Code.CANCELLED,
    errors.Exhausted: Code.RESOURCE_EXHAUSTED,
    errors.Internal: Code.INTERNAL,
    errors.MissingCapability: Code.UNIMPLEMENTED,
}
_BY_KIND: dict[str, type[LaminaError]] = {kind.kind: kind for kind in map(kind_of, Code)}
_OP_LIMIT = 64 << 10
"""The maximum size of an op in bytes: details are headers, whose size peers limit."""


def to_status(error: LaminaError, identify: Callable[[object], str] | None = None) -> StatusError:
    """The status of a call that failed with an error.

    Args:
        identify: makes an id by which the client can use a result of the failed step.
    """
    message = error.message
    details = [typed.detail_of(item) for item in _details(error, identify)]
    own = {"kind": error.kind, "reason": error.reason, "hint": error.hint}
    details.append(Detail(_URL, json.dumps(own).encode()))
    return StatusError(_CODES.get(type(error), Code.UNKNOWN), message, tuple(details))


def from_status(error: StatusError) -> LaminaError:
    """The error of a peer's status."""
    own = _own(error)
    kind = _BY_KIND.get(own.get("kind", ""), kind_of(error.code))
    reason, hint = own.get("reason") or error.message, own.get("hint", "")
    location: Location | None = None
    exit_code: int | None = None
    for item in typed.typed_errors(error):
        match item:
            case typed.Source(SourceInfo() as info, ranges) if ranges and location is None:
                location = location_of(info, ranges)
            case typed.Exit(code):
                exit_code = code
    if exit_code is not None:
        return errors.CommandFailed(reason, exit_code=exit_code, hint=hint, location=location)
    return kind(reason, hint=hint, location=location)


def _details(
    error: LaminaError, identify: Callable[[object], str] | None
) -> Iterator[typed.TypedError]:
    """The innermost error is first, as clients wrap each one in the next."""
    if error.__traceback__ is not None:
        yield stack_of(error.__traceback__)
    match error:
        case errors.CommandFailed():
            yield typed.Exit(error.exit_code)
        case errors.MissingCapability():
            yield typed.FrontendCap(error.name)
        case errors.IncompleteMaterials():
            yield typed.ProvenanceMaterialsIncomplete(
                tuple((name, "local_source") for name in error.folders)
            )
        case errors.SourceDenied() if error.messages:
            yield typed.SourceDecision(error.messages)
        case errors.UnknownRequest():
            yield typed.Subrequest(error.name)
    step = error.step
    if step is not None:
        yield typed.Vertex(step.digest)
        known = 0 < len(step.data) <= _OP_LIMIT
        op = redacted_values(decode_op(step.data)) if known else None
        inputs, mounts = (
            tuple("" if result is None else identify(result) for result in results)
            if identify is not None
            else ()
            for results in (step.inputs, step.mounts)
        )
        yield typed.Solve(inputs, mounts, step.action, step.content, op=op)
    if error.location is not None:
        # Of several, the last one is first (BuildKit).
        for place in reversed((error.location, *error.location.others)):
            yield _source(place)
    for name, source in error.frontends:
        yield typed.Frontend(name, source)


def _source(place: Location) -> typed.Source:
    origin = decode_definition(place.origin) if place.origin else None
    text = redacted(place.text).encode("utf-8", "surrogateescape")
    info = SourceInfo(place.filename, text, origin, place.language)
    first = Position(place.start, place.character)
    lines = [first, *map(Position, range(place.start + 1, place.end + 1))]
    return typed.Source(info, tuple(Range(line, line) for line in lines))


def stack_of(trace: TracebackType) -> typed.Stack:
    """The position in lamina's code that raised an error, innermost first; files by their modules'
    names."""
    frames = []
    place: TracebackType | None = trace
    while place is not None:
        module = str(place.tb_frame.f_globals.get("__name__", ""))
        name = place.tb_frame.f_code.co_qualname
        file = module.replace(".", "/") + ".py"
        frames.append(typed.Frame(f"{module}.{name}", file, place.tb_lineno))
        place = place.tb_next
    frames.reverse()
    return typed.Stack(tuple(frames), tuple(sys.argv), os.getpid(), __version__)


def location_of(info: SourceInfo, ranges: tuple[Range, ...]) -> Location | None:
    """The location for ranges of a text, None without ranges."""
    begun = [item.start for item in ranges if item.start is not None]
    starts = [position.line for position in begun]
    ends = [item.end.line for item in ranges if item.end is not None]
    if not starts:
        return None
    text = info.data.decode("utf-8", "surrogateescape")
    first = min(begun, key=lambda position: position.line)
    return Location(
        info.filename,
        first.line,
        max(starts + ends),
        text,
        language=info.language,
        character=first.character,
    )


def _own(error: StatusError) -> dict[str, str]:
    for detail in error.details:
        if detail.type_url == _URL:
            try:
                loaded = json.loads(detail.value)
            except ValueError:
                continue
            if isinstance(loaded, dict):
                return {k: v for k, v in loaded.items() if isinstance(v, str)}
    return {}

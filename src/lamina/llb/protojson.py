"""Ops in protobuf's JSON mapping, for people and tools.

Field names are those of BuildKit's `ops.proto`, in camel case. Zero values are left out; enums are
their names, integers of 64 bits strings, bytes base64. (`gojson` is the encoding of Go's
`encoding/json`.)
"""

from __future__ import annotations

from binascii import b2a_base64
from functools import cache
from typing import Any

from lamina.llb import op
from lamina.llb.codec import SCHEMA
from lamina.llb.gojson import NAMES
from lamina.wire.protobuf import Field, Kind, Label

_NAMES: dict[type, tuple[str, ...]] = {
    **NAMES,
    op.Op: (
        *("inputs", "exec", "source", "file", "build", "merge", "diff", "passthrough"),
        *("platform", "constraints"),
    ),
    op.Input: ("digest", "index"),
    op.UserOpt: ("byName", "byID"),
    op.FileAction: (
        *("input", "secondaryInput", "output"),
        *("copy", "mkfile", "mkdir", "rm", "symlink"),
    ),
}
# Numbers of 32 bits.
_SHORT = frozenset(
    ("mode", "uid", "gid", "byID", "sourceIndex", "line", "character", "validExitCodes")
)
_ZERO: tuple[Any, ...] = (0, "", b"", ())


def protojson(value: tuple[Any, ...]) -> dict[str, Any]:
    """A value of `lamina.llb.op` as a document."""
    document: dict[str, Any] = {}
    names, fields = _named_fields(type(value))
    for name, field, content in zip(names, fields, value, strict=True):
        if content is None or (field.label is not Label.OPTIONAL and content in _ZERO):
            continue
        if field.label is Label.MAP:
            document[name] = {key: _one(name, field, entry) for key, entry in sorted(content)}
        elif field.label is Label.REPEATED:
            document[name] = [_one(name, field, entry) for entry in content]
        else:
            document[name] = _one(name, field, content)
    return document


def _one(name: str, field: Field, content: Any) -> Any:
    match field.kind:
        case Kind.MESSAGE:
            return protojson(content)
        case Kind.BYTES:
            return b2a_base64(content, newline=False).decode()
        case Kind.INT if field.type is not None:
            return getattr(content, "name", int(content))  # a number without a name stays a number
        case Kind.INT if name not in _SHORT:
            return str(content)
    return content


@cache
def _named_fields(message: type) -> tuple[tuple[str, ...], tuple[Field, ...]]:
    """The names and kinds of a message's fields, in the order of its attributes."""
    kinds = {field.attribute: field for field in SCHEMA[message]}
    attributes: tuple[str, ...] = message._fields  # type: ignore[attr-defined]  # a NamedTuple's
    return tuple(map(_camel, _NAMES[message])), tuple(kinds[name] for name in attributes)


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word[:1].upper() + word[1:] for word in rest)

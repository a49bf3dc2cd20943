"""The tables of protobuf messages in the source, and their comparison with protobuf descriptors.

`message_tables.txt` beside this module has a line for each field of each message and for each value
of each enum. `scripts/compare-messages` compares them with BuildKit's definitions and then writes
the file, so that a test notices a table that has changed since.
"""

from __future__ import annotations

import sys
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from google.protobuf.descriptor_pb2 import FieldDescriptorProto

from lamina.api import (
    auth,
    caps,
    container,
    content,
    control,
    exporter,
    filesync,
    gateway,
    health,
    history,
    policysession,
    secrets,
    sourcemeta,
    sourcepolicy,
    ssh,
    status,
    timestamp,
    worker,
)
from lamina.daemon import history_service
from lamina.llb import codec
from lamina.wire import status as call_status
from lamina.wire.protobuf import Kind, Label

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from google.protobuf.descriptor_pb2 import (
        DescriptorProto,
        EnumDescriptorProto,
        FileDescriptorProto,
    )

    from lamina.wire.protobuf import Field, Schema

FILE = Path(__file__).with_suffix(".txt")

SCHEMAS: tuple[Schema, ...] = (
    *(auth.SCHEMA, caps.SCHEMA, codec.SCHEMA, container.SCHEMA, content.SCHEMA, control.SCHEMA),
    *(exporter.SCHEMA, filesync.SCHEMA, gateway.SCHEMA, health.SCHEMA, history.SCHEMA),
    *(policysession.SCHEMA, secrets.SCHEMA, sourcemeta.SCHEMA, sourcepolicy.SCHEMA, ssh.SCHEMA),
    *(status.SCHEMA, timestamp.SCHEMA, worker.SCHEMA),
    *(history_service._SCHEMA, call_status._SCHEMA),
)
"""Every table in the source, except those of messages that only carry bytes."""

_PACKAGES = {
    "lamina.api.auth": "moby.filesync.v1",
    "lamina.api.caps": "moby.buildkit.v1.apicaps",
    "lamina.api.container": "moby.buildkit.v1.frontend",
    "lamina.api.content": "containerd.services.content.v1",
    "lamina.api.control": "moby.buildkit.v1",
    "lamina.api.exporter": "moby.exporter.v1",
    "lamina.api.filesync": "fsutil.types",
    "lamina.api.gateway": "moby.buildkit.v1.frontend",
    "lamina.api.health": "grpc.health.v1",
    "lamina.api.history": "moby.buildkit.v1",
    "lamina.api.outputs": "moby.buildkit.v1",
    "lamina.api.policysession": "moby.buildkit.v1.sourcepolicy.policysession",
    "lamina.api.progress": "moby.buildkit.v1",
    "lamina.api.secrets": "moby.buildkit.secrets.v1",
    "lamina.api.sourcemeta": "moby.buildkit.v1.frontend",
    "lamina.api.sourcepolicy": "moby.buildkit.v1.sourcepolicy",
    "lamina.api.ssh": "moby.sshforward.v1",
    "lamina.api.worker": "moby.buildkit.v1.types",
    "lamina.llb.op": "pb",
}
"""The protobuf package of the messages that a module defines."""

_NAMES = {
    "lamina.api.content.Empty": ("google.protobuf.Empty",),
    "lamina.api.content.FieldMask": ("google.protobuf.FieldMask",),
    "lamina.api.outputs.CacheOptionsEntry": (
        "moby.buildkit.v1.CacheOptionsEntry",
        "moby.buildkit.v1.frontend.CacheOptionsEntry",
    ),
    "lamina.api.descriptor.Descriptor": (
        "moby.buildkit.v1.Descriptor",
        "moby.buildkit.v1.frontend.Descriptor",
    ),
    "lamina.api.history.IndexedDescriptor": ("moby.buildkit.v1.BuildResultInfo.ResultsEntry",),
    "lamina.llb.op.DiffInput": ("pb.LowerDiffInput", "pb.UpperDiffInput"),
    "lamina.api.filesync.PacketType": ("fsutil.types.Packet.PacketType",),
    "lamina.api.health.ServingStatus": ("grpc.health.v1.HealthCheckResponse.ServingStatus",),
    "lamina.api.sourcemeta.ChecksumAlgorithm": (
        "moby.buildkit.v1.frontend.ChecksumRequest.ChecksumAlgo",
    ),
    "lamina.api.status.Any": ("google.protobuf.Any",),
    "lamina.api.status.Status": ("google.rpc.Status",),
    "lamina.api.timestamp.Timestamp": ("google.protobuf.Timestamp",),
    "lamina.daemon.history_service._EncodedEvent": ("moby.buildkit.v1.BuildHistoryEvent",),
    "lamina.llb.op.CacheSharing": ("pb.CacheSharingOpt",),
    "lamina.llb.op.CopyAction": ("pb.FileActionCopy",),
    "lamina.llb.op.ExecMeta": ("pb.Meta",),
    "lamina.llb.op.LLBPlatform": ("pb.Platform",),
    "lamina.llb.op.MkDirAction": ("pb.FileActionMkDir",),
    "lamina.llb.op.MkFileAction": ("pb.FileActionMkFile",),
    "lamina.llb.op.NamedUser": ("pb.NamedUserOpt",),
    "lamina.llb.op.OpProgressGroup": ("pb.ProgressGroup",),
    "lamina.llb.op.RmAction": ("pb.FileActionRm",),
    "lamina.llb.op.SourceLocation": ("pb.Location",),
    "lamina.llb.op.SourceMap": ("pb.Source",),
    "lamina.llb.op.SymlinkAction": ("pb.FileActionSymlink",),
    "lamina.wire.status._Any": ("google.protobuf.Any",),
    "lamina.wire.status._Status": ("google.rpc.Status",),
}
"""Messages and enums that have other names in the definitions, or several."""

_FIELDS = {
    ("moby.buildkit.v1.BuildResultInfo.ResultsEntry", "descriptor"): "value",
    ("moby.buildkit.v1.BuildResultInfo.ResultsEntry", "number"): "key",
    ("moby.buildkit.v1.frontend.ChecksumRequest", "algorithm"): "Algo",
    ("moby.buildkit.v1.frontend.Ref", "definition"): "def",
    ("pb.BuildOp", "definition"): "def",
    ("pb.Definition", "ops"): "def",
    ("pb.FileActionCopy", "always_replace"): "alwaysReplaceExistingDestPaths",
    ("pb.FileActionCopy", "attempt_unpack"): "attemptUnpackDockerCompatibility",
    ("pb.Input", "output"): "index",
    ("pb.Mount", "cache"): "cacheOpt",
    ("pb.Mount", "secret"): "secretOpt",
    ("pb.Mount", "ssh"): "SSHOpt",
    ("pb.Mount", "tmpfs"): "TmpfsOpt",
}
"""Fields with other names than in the definitions."""

_OWN_FIELDS = {("fsutil.types.Stat", 15)}
_OWN_NUMBERS = 1000
"""Fields that only lamina has: these, and all from this number on."""

_OWN_MESSAGES = {
    "lamina.api.progress.RedactedOp",
    "lamina.api.progress.VertexReason",
    "lamina.api.progress.VertexResources",
    "lamina.base.resources.ResourceUsage",
    "lamina.solver.lookup.CacheLookup",
    "lamina.solver.lookup.KeyPart",
}
"""Messages that only lamina has."""

_ENCODED = {("lamina.daemon.history_service._EncodedEvent", 2)}
"""Messages that are bytes in the table because they are already encoded."""

_KINDS = {
    FieldDescriptorProto.TYPE_STRING: Kind.STRING,
    FieldDescriptorProto.TYPE_BYTES: Kind.BYTES,
    FieldDescriptorProto.TYPE_BOOL: Kind.BOOL,
    FieldDescriptorProto.TYPE_MESSAGE: Kind.MESSAGE,
    FieldDescriptorProto.TYPE_ENUM: Kind.INT,
    FieldDescriptorProto.TYPE_INT32: Kind.INT,
    FieldDescriptorProto.TYPE_INT64: Kind.INT,
    FieldDescriptorProto.TYPE_UINT32: Kind.INT,
    FieldDescriptorProto.TYPE_UINT64: Kind.INT,
}


class Comparison(NamedTuple):
    """The messages and enums that were found in the descriptors, and the differences."""

    compared: frozenset[str]
    differences: tuple[str, ...]


def messages() -> dict[type, tuple[Field, ...]]:
    """Every message of the source, with its table."""
    return {kind: fields for schema in SCHEMAS for kind, fields in schema.items()}


def enums() -> list[type[IntEnum]]:
    """Every enum that a table names or a module of messages defines."""
    modules = {sys.modules[kind.__module__] for kind in messages()}
    found = {
        value
        for module in modules
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, IntEnum) and value is not IntEnum
    }
    return sorted((e for e in found if e.__module__ in _PACKAGES), key=source_name)


def source_name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def definition_names(kind: type) -> tuple[str, ...]:
    """The full names of a message or an enum in BuildKit's definitions."""
    name = source_name(kind)
    if name in _OWN_MESSAGES:
        return ()
    return _NAMES.get(name) or (f"{_PACKAGES[kind.__module__]}.{kind.__qualname__}",)


def lines() -> Iterator[str]:
    """`message_tables.txt`: `MESSAGE NUMBER ATTRIBUTE KIND LABEL`, or `ENUM NUMBER VALUE`.

    Sorted, and independent of the modules that the messages are in. Messages and fields that only
    lamina has are left out.
    """
    found = set()
    for kind, fields in messages().items():
        for number, attribute, value, label, of in fields:
            if number >= _OWN_NUMBERS or source_name(kind) in _OWN_MESSAGES:
                continue
            type_name = f" {_short_name(of)}" if of is not None else ""
            found.add(
                f"{_short_name(kind)} {number} {attribute} {value.name} {label.name}{type_name}\n"
            )
    for enum in enums():
        found |= {f"{_short_name(enum)} {member.value} {member.name}\n" for member in enum}
    yield from sorted(found)


def _short_name(kind: type) -> str:
    return "|".join(definition_names(kind))


def compare(files: Iterable[FileDescriptorProto]) -> Comparison:
    """Compare the tables with the messages and enums in the descriptors."""
    defined: dict[str, DescriptorProto] = {}
    defined_enums: dict[str, EnumDescriptorProto] = {}
    for file in files:
        defined_enums |= {f"{file.package}.{enum.name}": enum for enum in file.enum_type}
        waiting = [(f"{file.package}.{m.name}", m) for m in file.message_type]
        while waiting:
            name, message = waiting.pop()
            defined[name] = message
            defined_enums |= {f"{name}.{enum.name}": enum for enum in message.enum_type}
            waiting += ((f"{name}.{m.name}", m) for m in message.nested_type)
    compared: set[str] = set()
    differences: list[str] = []
    for kind in messages():
        for name in definition_names(kind):
            if name in defined:
                compared.add(name)
                differences += _different_fields(name, kind, defined)
    for enum in enums():
        for name in definition_names(enum):
            if name in defined_enums:
                compared.add(name)
                differences += _different_values(name, enum, defined_enums[name])
    return Comparison(frozenset(compared), tuple(differences))


def _different_fields(name: str, kind: type, defined: dict[str, DescriptorProto]) -> Iterator[str]:
    by_number = {field.number: field for field in defined[name].field}
    for field in messages()[kind]:
        if (name, field.number) in _OWN_FIELDS:
            continue
        found = by_number.get(field.number)
        if found is None and field.number >= _OWN_NUMBERS:
            continue
        if found is None:
            yield f"{name} has no field {field.number} ({field.attribute})"
            continue
        what = f"{name}: field {field.number}"
        expected = _FIELDS.get((name, field.attribute), field.attribute)
        if _plain(found.name) != _plain(expected):
            yield f"{what} is {found.name}, not {expected}"
        entry = defined.get(found.type_name.removeprefix("."))
        is_map = field.label is Label.MAP
        if is_map and (entry is None or not entry.options.map_entry):
            yield f"{what} is not a map"
            continue
        value = entry.field[1] if is_map and entry is not None else found
        value_kind = _KINDS.get(value.type)
        if (source_name(kind), field.number) in _ENCODED and value_kind is Kind.MESSAGE:
            value_kind = Kind.BYTES
        if value_kind is not field.kind:
            yield f"{what} is not of the kind {field.kind.name}"
        elif field.type is not None:
            type_name = value.type_name.removeprefix(".")
            if type_name and type_name not in definition_names(field.type):
                yield f"{what} is a {type_name}"
        repeated = found.label == FieldDescriptorProto.LABEL_REPEATED
        if repeated != (field.label in (Label.REPEATED, Label.MAP)):
            yield f"{what} is not {field.label.name}"
        if field.label is Label.CHOICE and not found.HasField("oneof_index"):
            yield f"{what} is in no oneof"


def _different_values(
    name: str, enum: type[IntEnum], defined: EnumDescriptorProto
) -> Iterator[str]:
    by_number = {value.number: value.name for value in defined.value}
    for member in enum:
        found = by_number.get(member.value, "")
        # The names of values may begin with the name of the enum.
        parts = found.split("_")
        starts = ("_".join(parts[:count]) for count in range(len(parts)))
        known = {
            _plain(found[len(start) :])
            for start in starts
            if all(name.startswith(start) for name in by_number.values())
        }
        if _plain(member.name) not in known:
            yield f"{name}: value {member.value} is {found}, not {member.name}"


def _plain(name: str) -> str:
    return name.lower().replace("_", "")

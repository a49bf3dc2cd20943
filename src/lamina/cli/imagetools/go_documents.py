"""JSON documents as the Go structs of buildx: for templates by their Go names, and for `json` with
the members that Go writes, in its order (OCI image spec, `specs-go/v1`)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from lamina.base.go_template import Struct
from lamina.base.gojson import encode_indented
from lamina.base.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

_TIME = re.compile(r"(\d{4}-\d\d-\d\d)T([\d:.]+)(Z|[+-]\d\d:\d\d)")


class GoTime(str):
    """A time as templates print it; `written` is as in JSON."""

    written: str

    @classmethod
    def read(cls, written: str) -> GoTime:
        """From RFC 3339. Other texts are printed unchanged."""
        found = _TIME.fullmatch(written)
        if found is None:
            shown = written
        else:
            zone = "+0000 UTC" if found[3] == "Z" else f"{found[3].replace(':', '')} {found[3]}"
            shown = f"{found[1]} {found[2]} {zone}"
        time = cls(shown)
        time.written = written
        return time


class Member(NamedTuple):
    """A field: its names in JSON and in Go, its value if it is missing, and how its parts look.

    `always` writes it to JSON even if it is empty. `many`: it is a list of such parts. `read`
    converts the value.
    """

    key: str
    name: str
    zero: Any = ""
    parts: Sequence[Member] = ()
    always: bool = False
    many: bool = False
    read: Callable[[Any], Any] | None = None


class GoDocument(Struct):
    """A struct for templates, with its JSON document."""

    def __init__(self, fields: Mapping[str, Any], document: Mapping[str, Any]) -> None:
        super().__init__(fields)
        self.document = document


PLATFORM = (
    Member("architecture", "Architecture", always=True),
    Member("os", "OS", always=True),
    Member("os.version", "OSVersion"),
    Member("os.features", "OSFeatures", ()),
    Member("variant", "Variant"),
)
DESCRIPTOR = (
    Member("mediaType", "MediaType", always=True),
    Member("digest", "Digest", always=True),
    Member("size", "Size", 0, always=True),
    Member("urls", "URLs", ()),
    Member("annotations", "Annotations", {}),
    Member("data", "Data"),
    Member("platform", "Platform", None, PLATFORM),
    Member("artifactType", "ArtifactType"),
)
INDEX = (
    Member("schemaVersion", "SchemaVersion", 0, always=True),
    Member("mediaType", "MediaType"),
    Member("digest", "Digest", always=True),
    Member("size", "Size", 0, always=True),
    Member("manifests", "Manifests", (), DESCRIPTOR, always=True, many=True),
    Member("annotations", "Annotations", {}),
)
_CONFIG = (
    Member("User", "User"),
    Member("ExposedPorts", "ExposedPorts", {}),
    Member("Env", "Env", ()),
    Member("Entrypoint", "Entrypoint", ()),
    Member("Cmd", "Cmd", ()),
    Member("Volumes", "Volumes", {}),
    Member("WorkingDir", "WorkingDir"),
    Member("Labels", "Labels", {}),
    Member("StopSignal", "StopSignal"),
    Member("ArgsEscaped", "ArgsEscaped", False),
)
_HISTORY = (
    Member("created", "Created", None, read=GoTime.read),
    Member("created_by", "CreatedBy"),
    Member("author", "Author"),
    Member("comment", "Comment"),
    Member("empty_layer", "EmptyLayer", False),
)
_ROOTFS = (
    Member("type", "Type", always=True),
    Member("diff_ids", "DiffIDs", None, always=True),
)
IMAGE = (
    Member("created", "Created", None, read=GoTime.read),
    Member("author", "Author"),
    *PLATFORM,
    Member("config", "Config", {}, _CONFIG, always=True),
    Member("rootfs", "RootFS", {}, _ROOTFS, always=True),
    Member("history", "History", (), _HISTORY, many=True),
)


def go_document(document: Mapping[str, Any], members: Sequence[Member]) -> GoDocument:
    """A JSON object as a Go struct with these fields."""
    fields: dict[str, Any] = {}
    written: dict[str, Any] = {}
    for member in members:
        value = document.get(member.key)
        value = member.zero if value is None else value
        if member.read is not None and value is not None:
            value = member.read(value)
        elif member.many:
            value = [go_document(part, member.parts) for part in value]
        elif member.parts and value is not None:
            value = go_document(value, member.parts)
        fields[member.name] = value
        if value or member.always:
            written[member.key] = value
    return GoDocument(fields, written)


def plain(value: Any) -> Any:
    """A value for JSON: structs are replaced by their documents, and maps are sorted."""
    if isinstance(value, GoDocument):
        return {key: plain(item) for key, item in value.document.items()}
    if isinstance(value, GoTime):
        return value.written
    if isinstance(value, Mapping):
        return {key: plain(value[key]) for key in sorted(value)}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def json_indented(value: Any) -> str:
    """The function `json` of templates."""
    return encode_indented(plain(value)).decode("utf-8", "surrogateescape")

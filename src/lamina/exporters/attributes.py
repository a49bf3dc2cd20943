"""Attributes of outputs, as users write them (buildx's grammar) and as clients send them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.booleans import parse_bool
from lamina.base.errors import InvalidInput, NotFound, Unsupported
from lamina.base.reference import parse_reference
from lamina.exporters.annotations import parse_annotation
from lamina.exporters.destination import (
    FROM_RESULT,
    ArchiveOutput,
    CacheOnlyOutput,
    ImageForm,
    ImageOutput,
    LoadOutput,
    LocalOutput,
    SaidEpoch,
    TarOutput,
)
from lamina.layers.compression import parse_compression

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lamina.exporters.annotations import Annotation
    from lamina.exporters.destination import Output

STDOUT = "-"
_TYPES = ("image", "registry", "oci", "docker", "local", "tar", "cacheonly")
_HINT = "for example type=oci,dest=image.tar, or type=local,dest=out, or only a directory's name"


def parse_output(text: str) -> Output:
    """Parse one `--output`: `type=…,key=value,…` in CSV, or only a directory, or only `-`.

    Raises InvalidInput, Unsupported.
    """
    fields = _fields(text)
    # In `dest=out`, the type is probably missing, and it is not a directory of that name.
    if len(fields) == 1 and not fields[0].lower().startswith(("type=", "dest=", "name=")):
        if not fields[0]:
            raise InvalidInput("--output is empty", hint=_HINT)
        return TarOutput(STDOUT) if fields[0] == STDOUT else LocalOutput(fields[0])
    pairs: dict[str, str] = {}
    for field in fields:
        key, equals, value = field.partition("=")
        key = key.strip().lower() if not key.startswith("annotation") else key.strip()
        if not equals:
            raise InvalidInput(f'--output: "{field}" is not key=value', hint=_HINT)
        pairs[key] = value
    return make_output(pairs)


def make_output(pairs: Mapping[str, str]) -> Output:
    """An output from pairs, `type` among them. Raises InvalidInput, Unsupported."""
    attributes = _Attributes(pairs)
    kind = attributes.take("type")
    if not kind:
        raise InvalidInput("--output needs a type", hint=_HINT)
    if kind not in _TYPES:
        raise InvalidInput(
            f'--output: unknown type "{kind}"', hint="known are " + ", ".join(_TYPES)
        )
    made = _written(kind, attributes)
    if attributes.pairs:
        keys = ", ".join(sorted(attributes.pairs))
        raise InvalidInput(f"--output: type={kind} does not support {keys}")
    return made


def wire_output(kind: str, attributes: Mapping[str, str], dest: str = "") -> Output:
    """An output that a client of BuildKit's API requests.

    Unknown attributes are no error here. They are metadata of the result, so a client can set
    `containerimage.config` of an image.

    Args:
        kind: `image`, `oci`, `docker`, `local` or `tar`.
        dest: identifies the output for the Receiver. Only the client knows its path.

    Raises InvalidInput, Unsupported, NotFound (kind).
    """
    taken = _Attributes(attributes)
    match kind:
        case "image":
            made: ImageOutput | ArchiveOutput = _image(taken, push=False)
        case "oci" | "docker":
            made = ArchiveOutput(kind, dest, _form(taken), taken.flag("tar", True))
        case "local":
            return _local(dest, taken)
        case "tar":
            return _tar(dest, taken)
        case _:
            raise NotFound(f'exporter "{kind}" could not be found')
    metadata = {key: value.encode() for key, value in taken.pairs.items()}
    return made._replace(form=made.form._replace(metadata=metadata)) if metadata else made


def _written(kind: str, attributes: _Attributes) -> Output:
    match kind:
        case "image" | "registry":
            if dest := attributes.take("dest"):
                raise InvalidInput(
                    f"--output: type=image does not support dest={dest}",
                    hint="type=oci and type=docker write files",
                )
            made = _image(attributes, push=kind == "registry")
            if made.push and not made.form.names:
                raise InvalidInput(
                    "--output: push requires an image name", hint="add name=host/path:tag, or -t"
                )
            return made
        case "oci" | "docker":
            return _archive(kind, attributes)
        case "local":
            return _local(attributes.dest("local", required=True), attributes)
        case "tar":
            return _tar(attributes.dest("tar") or STDOUT, attributes)
        case _:
            return CacheOnlyOutput()


def _local(dest: str, attributes: _Attributes) -> LocalOutput:
    mode = attributes.take("mode")
    if mode not in ("", "copy", "delete"):
        raise InvalidInput(f'--output: mode must be copy or delete, not "{mode}"')
    split = attributes.choice("platform-split")
    prefix = attributes.take("attestation-prefix")
    return LocalOutput(dest, attributes.epoch(), mode == "delete", split, prefix)


def _tar(dest: str, attributes: _Attributes) -> TarOutput:
    split = attributes.choice("platform-split")
    prefix = attributes.take("attestation-prefix")
    return TarOutput(dest, attributes.epoch(), split, prefix)


def _archive(kind: str, attributes: _Attributes) -> ArchiveOutput | LoadOutput:
    as_tar = attributes.flag("tar", True)
    dest = attributes.dest(kind, required=not as_tar)
    if kind == "docker":
        context = attributes.take("context")
        if not dest:
            return LoadOutput(_form(attributes), context)
    if not as_tar and dest == STDOUT:
        raise InvalidInput("--output: tar=false needs a directory as dest, not stdout")
    return ArchiveOutput(kind, dest or STDOUT, _form(attributes), as_tar)


def _image(attributes: _Attributes, *, push: bool) -> ImageOutput:
    pushed = attributes.flag("push", push)
    by_digest = attributes.flag("push-by-digest")
    canonical = attributes.flag("name-canonical")
    store = attributes.flag("store", True)
    attributes.flag("unpack")  # snapshots of the local store are laid out when they are used
    insecure = attributes.flag("registry.insecure")
    dangling = attributes.take("dangling-name-prefix")
    alone = attributes.flag("danging-name-empty-only")  # BuildKit's spelling
    form = _form(attributes, untagged=by_digest, inline=True)
    return ImageOutput(form, pushed, insecure, by_digest, canonical, store, dangling, alone)


def _form(attributes: _Attributes, *, untagged: bool = False, inline: bool = False) -> ImageForm:
    """`inline` is the default of `attestation-inline`."""
    names = tuple(filter(None, map(str.strip, attributes.take("name").split(","))))
    if attributes.pairs.get("compression") == "estargz":
        raise Unsupported("compression=estargz is not supported", hint="use gzip or zstd")
    compression = parse_compression(
        attributes.take("compression"), attributes.take("compression-level")
    )
    docker_types = not attributes.flag("oci-mediatypes", True)
    artifact = attributes.choice("oci-artifact")
    inline = attributes.flag("attestation-inline", inline)
    attributes.flag("prefer-nondist-layers")  # layers keep their media type
    annotations = attributes.annotations()
    if docker_types and annotations:
        raise InvalidInput("--output: annotations conflict with oci-mediatypes=false")
    if docker_types and artifact:
        raise InvalidInput("--output: oci-artifact=true conflicts with oci-mediatypes=false")
    return ImageForm(
        tuple(map(_untagged if untagged else _tagged, names)),
        compression,
        attributes.flag("force-compression"),
        docker_types,
        annotations,
        attributes.flag("rewrite-timestamp"),
        attributes.epoch(),
        inline,
        artifact,
        said=names,
    )


def _tagged(name: str) -> str:
    return name if name == FROM_RESULT else str(parse_reference(name))


def _untagged(name: str) -> str:
    if name == FROM_RESULT:
        return name
    if ":" in name.rpartition("/")[2] or "@" in name:
        raise InvalidInput(f"can't push tagged ref {name} by digest", hint="remove the tag")
    return parse_reference(name).name


class _Attributes:
    """Pairs, which readers remove one by one. Those left at the end are unknown."""

    def __init__(self, pairs: Mapping[str, str]) -> None:
        self.pairs = dict(pairs)

    def take(self, key: str) -> str:
        return self.pairs.pop(key, "")

    def flag(self, key: str, default: bool = False) -> bool:
        value = self.pairs.pop(key, None)
        if value is None:
            return default
        chosen = parse_bool(value or "true")
        if chosen is None:
            raise InvalidInput(f'--output: {key} must be true or false, not "{value}"')
        return chosen

    def choice(self, key: str) -> bool | None:
        """A flag with three values: true, false or unset."""
        return self.flag(key) if key in self.pairs else None

    def dest(self, kind: str, required: bool = False) -> str:
        if "output" in self.pairs:
            value = self.pairs["output"]
            raise InvalidInput(
                f"--output: output={value} is not an attribute", hint=f"use dest={value}"
            )
        dest = self.take("dest")
        if required and not dest:
            raise InvalidInput(
                f"--output: type={kind} needs dest", hint=f"for example type={kind},dest=out"
            )
        return dest

    def epoch(self) -> SaidEpoch | None:
        if "source-date-epoch" not in self.pairs:
            return None
        value = self.take("source-date-epoch")
        if not value:
            return SaidEpoch(None)
        if not value.removeprefix("-").isdecimal() or len(value) > 12:
            raise InvalidInput(
                f'--output: source-date-epoch must be a number of seconds, not "{value}"'
            )
        return SaidEpoch(int(value))

    def annotations(self) -> tuple[Annotation, ...]:
        """Annotations of all levels, in the order of their attributes' names."""
        found = []
        for key in sorted(key for key in self.pairs if key.startswith("annotation")):
            annotation = parse_annotation(key, self.pairs[key])
            if annotation is not None:
                found.append(annotation)
                del self.pairs[key]
        return tuple(found)


def _fields(text: str) -> list[str]:
    if '"' not in text:
        return text.split(",")
    import csv

    try:
        rows = list(csv.reader([text], strict=True))
    except csv.Error as error:
        raise InvalidInput(f"--output: malformed CSV {text}: {error}") from error
    return rows[0] if rows else []

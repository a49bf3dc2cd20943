"""`-o/--output` as people write it, read into typed values (buildx's grammar)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from lamina.base.errors import InvalidInput, Unsupported
from lamina.base.reference import parse_reference
from lamina.layers.compression import Compression, parse_compression

if TYPE_CHECKING:
    from collections.abc import Callable

STDOUT = "-"
_TYPES = ("image", "registry", "oci", "docker", "local", "tar", "cacheonly")
_ANNOTATION = re.compile(r"annotation(?:-([a-z-]+))?(?:\[([A-Za-z0-9_/-]+)\])?\.(\S+)\Z")


class ImageForm(NamedTuple):
    """How an image's documents and layers are to be made.

    `force_compression` packs layers again that are there in another form. `epoch` is
    `source-date-epoch`; `rewrite_timestamp` applies it to the files in layers too.
    """

    names: tuple[str, ...] = ()
    compression: Compression = Compression()
    force_compression: bool = False
    docker_types: bool = False
    annotations: tuple[tuple[str, str], ...] = ()
    descriptor_annotations: tuple[tuple[str, str], ...] = ()
    rewrite_timestamp: bool = False
    epoch: int | None = None


class ImageOutput(NamedTuple):
    """Into the local image store unless not `store`, and with `push` to the registry of each
    name, also one that `insecure` allows to be plain HTTP or of unknown certificate.

    `by_digest` pushes without a tag; the names have none then. `canonical` stores the image as
    `name@digest` too.
    """

    form: ImageForm
    push: bool = False
    insecure: bool = False
    by_digest: bool = False
    canonical: bool = False
    store: bool = True


class ArchiveOutput(NamedTuple):
    """`kind` is `oci` or `docker`. `dest` is a file, or a folder when not `tar`; `-` stdout."""

    kind: str
    dest: str
    form: ImageForm
    tar: bool = True


class LoadOutput(NamedTuple):
    """Into a running Docker or Podman: that of a Docker context, or "" for the one there is."""

    form: ImageForm
    context: str = ""


class LocalOutput(NamedTuple):
    """The result's files, into the folder `dest`. `delete`: what else is there goes.

    `split` puts each platform into a folder of its own; None: if there are several.
    """

    dest: str
    epoch: int | None = None
    delete: bool = False
    split: bool | None = None


class TarOutput(NamedTuple):
    """The result's files, as one tar; `-` is stdout. `split` as in `LocalOutput`."""

    dest: str
    epoch: int | None = None
    split: bool | None = None


class CacheOnlyOutput(NamedTuple):
    """Nothing: the build fills the cache."""


Output = ImageOutput | ArchiveOutput | LoadOutput | LocalOutput | TarOutput | CacheOnlyOutput


def parse_output(text: str) -> Output:
    """Read one `--output`: `type=…,key=value,…` in CSV, or only a folder, or only `-`.

    Raises InvalidInput, Unsupported.
    """
    fields = _fields(text)
    # `dest=out` alone is a type forgotten rather than a folder of that name.
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


def make_output(pairs: dict[str, str]) -> Output:
    """The same from the pairs, `type` among them. Raises InvalidInput, Unsupported."""
    attributes = _Attributes(pairs)
    kind = attributes.take("type")
    if not kind:
        raise InvalidInput("--output needs a type", hint=_HINT)
    if kind not in _TYPES:
        raise InvalidInput(
            f'--output: unknown type "{kind}"', hint="known are " + ", ".join(_TYPES)
        )
    made = _MAKERS[kind](attributes)
    attributes.finish(kind)
    return made


def _local(attributes: _Attributes) -> Output:
    dest = attributes.dest("local", required=True)
    mode = attributes.take("mode")
    if mode not in ("", "copy", "delete"):
        raise InvalidInput(f'--output: mode is copy or delete, not "{mode}"')
    split = attributes.choice("platform-split")
    attributes.take("attestation-prefix")
    return LocalOutput(dest, attributes.epoch(), mode == "delete", split)


def _tar(attributes: _Attributes) -> Output:
    split = attributes.choice("platform-split")
    attributes.take("attestation-prefix")
    return TarOutput(attributes.dest("tar") or STDOUT, attributes.epoch(), split)


def _archive(kind: str) -> Callable[[_Attributes], Output]:
    def make(attributes: _Attributes) -> Output:
        as_tar = attributes.flag("tar", True)
        dest = attributes.dest(kind, required=not as_tar)
        if kind == "docker":
            context = attributes.take("context")
            if not dest:
                return LoadOutput(_form(attributes), context)
        if not as_tar and dest == STDOUT:
            raise InvalidInput("--output: tar=false needs a folder as dest, not stdout")
        return ArchiveOutput(kind, dest or STDOUT, _form(attributes), as_tar)

    return make


def _image(push: bool) -> Callable[[_Attributes], Output]:
    def make(attributes: _Attributes) -> Output:
        if dest := attributes.take("dest"):
            raise InvalidInput(
                f"--output: type=image writes no file, yet dest={dest}",
                hint="type=oci and type=docker write files",
            )
        pushed = attributes.flag("push", push)
        by_digest = attributes.flag("push-by-digest")
        canonical = attributes.flag("name-canonical")
        store = attributes.flag("store", True)
        attributes.flag("unpack")  # states of the local store are laid out when they are used
        insecure = attributes.flag("registry.insecure")
        form = _form(attributes, untagged=by_digest)
        if pushed and not form.names:
            raise InvalidInput(
                "--output: a push needs a name", hint="add name=host/path:tag, or -t"
            )
        return ImageOutput(form, pushed, insecure, by_digest, canonical, store)

    return make


def _cache_only(attributes: _Attributes) -> Output:
    return CacheOnlyOutput()


_MAKERS: dict[str, Callable[[_Attributes], Output]] = {
    "image": _image(False),
    "registry": _image(True),
    "oci": _archive("oci"),
    "docker": _archive("docker"),
    "local": _local,
    "tar": _tar,
    "cacheonly": _cache_only,
}
_HINT = "for example type=oci,dest=image.tar, or type=local,dest=out, or only a folder's name"


def _form(attributes: _Attributes, *, untagged: bool = False) -> ImageForm:
    names = tuple(filter(None, map(str.strip, attributes.take("name").split(","))))
    if attributes.pairs.get("compression") == "estargz":
        raise Unsupported("compression=estargz is not supported", hint="use gzip or zstd")
    compression = parse_compression(
        attributes.take("compression"), attributes.take("compression-level")
    )
    docker_types = not attributes.flag("oci-mediatypes", True)
    attributes.flag("oci-artifact")
    attributes.flag("attestation-inline")
    attributes.flag("prefer-nondist-layers")
    manifest, descriptor = attributes.annotations()
    if docker_types and compression.algorithm.value == "zstd":
        raise InvalidInput("--output: compression=zstd conflicts with oci-mediatypes=false")
    if docker_types and (manifest or descriptor):
        raise InvalidInput("--output: annotations conflict with oci-mediatypes=false")
    return ImageForm(
        tuple(map(_untagged if untagged else _tagged, names)),
        compression,
        attributes.flag("force-compression"),
        docker_types,
        manifest,
        descriptor,
        attributes.flag("rewrite-timestamp"),
        attributes.epoch(),
    )


def _tagged(name: str) -> str:
    return str(parse_reference(name))


def _untagged(name: str) -> str:
    if ":" in name.rpartition("/")[2] or "@" in name:
        raise InvalidInput(f"can't push tagged ref {name} by digest", hint="leave the tag out")
    return parse_reference(name).name


class _Attributes:
    """Pairs that are taken one by one; what is left at the end nobody knows."""

    def __init__(self, pairs: dict[str, str]) -> None:
        self.pairs = dict(pairs)

    def take(self, key: str) -> str:
        return self.pairs.pop(key, "")

    def flag(self, key: str, default: bool = False) -> bool:
        value = self.pairs.pop(key, None)
        if value is None:
            return default
        if value in ("1", "t", "T", "true", "TRUE", "True", ""):
            return True
        if value in ("0", "f", "F", "false", "FALSE", "False"):
            return False
        raise InvalidInput(f'--output: {key} is true or false, not "{value}"')

    def choice(self, key: str) -> bool | None:
        """A flag that may be left open."""
        return self.flag(key) if key in self.pairs else None

    def dest(self, kind: str, required: bool = False) -> str:
        if "output" in self.pairs:
            value = self.pairs["output"]
            raise InvalidInput(f"--output: output={value} means nothing", hint=f"use dest={value}")
        dest = self.take("dest")
        if required and not dest:
            raise InvalidInput(
                f"--output: type={kind} needs dest", hint=f"for example type={kind},dest=out"
            )
        return dest

    def epoch(self) -> int | None:
        value = self.take("source-date-epoch")
        if not value:
            return None
        if not value.isdecimal() or len(value) > 12:
            raise InvalidInput(f'--output: source-date-epoch is in seconds, not "{value}"')
        return int(value)

    def annotations(self) -> tuple[tuple[tuple[str, str], ...], tuple[tuple[str, str], ...]]:
        """Those of the manifest, and those of its descriptor."""
        manifest: list[tuple[str, str]] = []
        descriptor: list[tuple[str, str]] = []
        for key in [key for key in self.pairs if key.startswith("annotation")]:
            matched = _ANNOTATION.match(key)
            if matched is None:
                continue
            kind, platform, name = matched.groups()
            if platform or kind in ("index", "index-descriptor"):
                raise Unsupported(
                    f"--output: {key} is for an image of several platforms, which this is not"
                )
            if kind not in (None, "manifest", "manifest-descriptor"):
                raise InvalidInput(f'--output: unknown annotation type "{kind}"')
            chosen = descriptor if kind == "manifest-descriptor" else manifest
            chosen.append((name, self.take(key)))
        return tuple(sorted(manifest)), tuple(sorted(descriptor))

    def finish(self, kind: str) -> None:
        if self.pairs:
            keys = ", ".join(sorted(self.pairs))
            raise InvalidInput(f"--output: type={kind} knows no {keys}")


def _fields(text: str) -> list[str]:
    if '"' not in text:
        return text.split(",")
    import csv

    try:
        rows = list(csv.reader([text], strict=True))
    except csv.Error as error:
        raise InvalidInput(f"--output: malformed CSV {text}: {error}") from error
    return rows[0] if rows else []

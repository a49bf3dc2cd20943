"""Outputs of a build as typed values: destination and format."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.named_tuple import NamedTuple
from lamina.layers.compression import Compression

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lamina.exporters.annotations import Annotation

FROM_RESULT = "*"
"""The name that stands for the names that the frontend returned (`image.name`)."""


class SaidEpoch(NamedTuple):
    """The SOURCE_DATE_EPOCH of an output, which overrides that of the result: no time is later
    than `seconds` (since 1970). None: times are not changed."""

    seconds: int | None


def epoch_of(said: SaidEpoch | None, own: int | None) -> int | None:
    """The effective epoch: the output's if it has one, else the result's."""
    return own if said is None else said.seconds


class ImageForm(NamedTuple):
    """The form of an image's documents and layers.

    `force_compression` packs existing layers again if they have another compression. `epoch` is
    `source-date-epoch`; `rewrite_timestamp` applies it to the files in layers too.

    `inline_attestations`: make an index even if all attestations are only for images
    (`inline-only`). `artifact` is the form of attestation manifests, see `attestation_manifest`;
    None: the one that fits the media types. `metadata` overrides what the frontend returned under
    the same keys. `said` are the names as they were written.
    """

    names: tuple[str, ...] = ()
    compression: Compression = Compression()
    force_compression: bool = False
    docker_types: bool = False
    annotations: tuple[Annotation, ...] = ()
    rewrite_timestamp: bool = False
    epoch: SaidEpoch | None = None
    inline_attestations: bool = False
    artifact: bool | None = None
    metadata: Mapping[str, bytes] = {}
    said: tuple[str, ...] = ()


class ImageOutput(NamedTuple):
    """An image in the local image store (if `store`), and in the registry of each name (if
    `push`). `insecure` allows plain HTTP and untrusted certificates.

    `by_digest` pushes without a tag: then the names have none. `canonical` stores the image as
    `name@digest` too. `dangling` adds the name `dangling@digest`; with `dangling_alone`, only to
    an image without a name.
    """

    form: ImageForm
    push: bool = False
    insecure: bool = False
    by_digest: bool = False
    canonical: bool = False
    store: bool = True
    dangling: str = ""
    dangling_alone: bool = False


class ArchiveOutput(NamedTuple):
    """`kind` is `oci` or `docker`. `dest` is a file, or a directory when not `tar`; `-` is
    stdout."""

    kind: str
    dest: str
    form: ImageForm
    tar: bool = True


class LoadOutput(NamedTuple):
    """An image in a running Docker or Podman: that of a Docker context, "" for the default one."""

    form: ImageForm
    context: str = ""


class LocalOutput(NamedTuple):
    """The result's files in the directory `dest`. `delete` removes all other files from it.

    `split` writes each platform to a separate directory; None: if there are several.
    Names of files with attestations begin with `attestation_prefix`.
    """

    dest: str
    epoch: SaidEpoch | None = None
    delete: bool = False
    split: bool | None = None
    attestation_prefix: str = ""


class TarOutput(NamedTuple):
    """The result's files, as one tar; `-` is stdout. `split` as in `LocalOutput`."""

    dest: str
    epoch: SaidEpoch | None = None
    split: bool | None = None
    attestation_prefix: str = ""


class CacheOnlyOutput(NamedTuple):
    """No output: the build fills the cache."""


Output = ImageOutput | ArchiveOutput | LoadOutput | LocalOutput | TarOutput | CacheOnlyOutput

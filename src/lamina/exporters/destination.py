"""Where results go and in what form, as typed values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.named_tuple import NamedTuple
from lamina.layers.compression import Compression

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lamina.exporters.annotations import Annotation

FROM_RESULT = "*"
"""A name that stands for those that the frontend returned (`image.name`)."""


class SaidEpoch(NamedTuple):
    """What an output says of its times, in place of the result's own SOURCE_DATE_EPOCH: that
    none is later than `seconds` (since 1970), or (None) that they are what they are."""

    seconds: int | None


def epoch_of(said: SaidEpoch | None, own: int | None) -> int | None:
    """Which time counts: the output's if it says something, else the result's."""
    return own if said is None else said.seconds


class ImageForm(NamedTuple):
    """How an image's documents and layers are to be made.

    `force_compression` packs layers again that are there in another form. `epoch` is
    `source-date-epoch`; `rewrite_timestamp` applies it to the files in layers too.

    `inline_attestations`: those that are for images alone (`inline-only`) are reason enough to
    make an index. `artifact` is the form of attestation manifests, see `attestation_manifest`;
    None: the one that goes with the media types. `metadata` counts before what the frontend
    returned under the same keys. `said` are the names as they were written.
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
    """Into the local image store unless not `store`, and with `push` to the registry of each
    name, also one that `insecure` allows to be plain HTTP or of unknown certificate.

    `by_digest` pushes without a tag; the names have none then. `canonical` stores the image as
    `name@digest` too. `dangling` makes `dangling@digest` another name, or with `dangling_alone`
    the name of an image that has none.
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
    `attestation_prefix` begins the names of files with attestations.
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
    """Nothing: the build fills the cache."""


Output = ImageOutput | ArchiveOutput | LoadOutput | LocalOutput | TarOutput | CacheOnlyOutput

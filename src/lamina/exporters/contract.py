"""The values and ports of exporters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

from lamina.base.named_tuple import NamedTuple
from lamina.system.file_metadata import KERNEL_METADATA

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager

    from lamina.base.digest import Digest
    from lamina.base.oci import Descriptor
    from lamina.exporters.destination import ArchiveOutput, LocalOutput, TarOutput
    from lamina.exporters.file_sink import ByteSink
    from lamina.system.cancel import Cancellation
    from lamina.system.file_metadata import FileMetadata


class LayerInfo(NamedTuple):
    """One layer of an image: the blob, the digest of its uncompressed tar, and values for a
    missing history entry: the creation time (seconds since the epoch) and the command."""

    descriptor: Descriptor
    diff_id: Digest
    created: float | None = None
    description: str = ""


class ExportedImage(NamedTuple):
    """An image's documents. `layers` are descriptors of blobs elsewhere, lowest first.

    `target` describes the manifest, with the platform and the annotations of an index's entry for
    it. `names` are full references.
    """

    target: Descriptor
    manifest: bytes
    config_descriptor: Descriptor
    config: bytes
    layers: tuple[Descriptor, ...]
    created: str
    names: tuple[str, ...] = ()

    def documents(self) -> tuple[Document, ...]:
        """The configuration and the manifest."""
        config = Document(self.config_descriptor, self.config)
        return (config, Document(self.target, self.manifest))


class Document(NamedTuple):
    """A small blob of an image that is kept in memory."""

    descriptor: Descriptor
    data: bytes


class Artifact(NamedTuple):
    """The target of names: one image, or an index of images and their attestations.

    `documents` are all manifests, configurations and statements, inner ones first, the target's
    last. `names` are full references.
    """

    target: Descriptor
    documents: tuple[Document, ...]
    images: tuple[ExportedImage, ...]
    names: tuple[str, ...] = ()

    @classmethod
    def of(cls, image: ExportedImage) -> Artifact:
        """The artifact of one image."""
        return cls(image.target, image.documents(), (image,), image.names)

    @property
    def single(self) -> ExportedImage | None:
        """The image, unless the artifact is an index."""
        image = self.images[0]
        return image if image.target.digest == self.target.digest else None

    def layers(self) -> tuple[Descriptor, ...]:
        """The layers of all images, each once."""
        every = {layer.digest: layer for image in self.images for layer in image.layers}
        return tuple(every.values())

    def metadata(self) -> dict[str, Any]:
        """The metadata for `--metadata-file`, under BuildKit's keys."""
        found: dict[str, Any] = {}
        if self.single is not None:
            found["containerimage.config.digest"] = str(self.single.config_descriptor.digest)
        found["containerimage.descriptor"] = self.target.to_json()
        found["containerimage.digest"] = str(self.target.digest)
        if self.names:
            found["image.name"] = ",".join(self.names)
        return found


class BlobReader(Protocol):
    """Reads layers. The store's `BlobStore` implements it."""

    def open(self, digest: Digest, /) -> BinaryIO:
        """Raises NotFound."""
        ...


class AddedFile(NamedTuple):
    """A file that an exporter adds to those of a result: its attestations."""

    name: str
    data: bytes


class ExportedTree(NamedTuple):
    """A result's files: those below `root` (None: none), and `added` beside them.

    `name` is the directory at the destination that gets them, "" for the destination itself.
    `epoch`, in seconds, is the time of all files. `platform` is set if each platform has a tree
    of its own. `metadata` is how the files have their metadata."""

    name: str
    root: str | None
    added: tuple[AddedFile, ...] = ()
    epoch: int | None = None
    platform: str = ""
    metadata: FileMetadata = KERNEL_METADATA


class Shown(Protocol):
    """Shows a transfer under a name while a block runs. The block reports the bytes so far."""

    def __call__(self, text: str, /) -> AbstractContextManager[Callable[[int], None]]: ...


class Receiver(Protocol):
    """Receives outputs that are files: this machine, or the client that requested them."""

    def file(
        self, output: ArchiveOutput | TarOutput, metadata: Mapping[str, Any], /
    ) -> AbstractContextManager[ByteSink]:
        """Open an output that is one file. It counts as made when the block ends without error.

        `metadata` describes the output, for receivers that choose its location by that.

        Raises InvalidInput, PermissionDenied, NotFound, Exhausted, Unavailable.
        """
        ...

    def layout(
        self, output: ArchiveOutput, artifact: Artifact, blobs: BlobReader, cancel: Cancellation, /
    ) -> None:
        """Add an image to an output that is an OCI layout. Raises as `folder` does."""
        ...

    def folder(
        self,
        output: LocalOutput,
        trees: Sequence[ExportedTree],
        show: Shown,
        cancel: Cancellation,
        /,
    ) -> None:
        """Copy trees into an output that is a directory. Raises as `file` does, and Cancelled."""
        ...

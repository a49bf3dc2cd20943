"""`--load`, `type=docker` without a file: load an image into a running Docker or Podman."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.errors import Cancelled, Corrupt, LaminaError, PermissionDenied
from lamina.base.reference import parse_reference
from lamina.exporters.archive import write_archive
from lamina.exporters.contract import Artifact

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lamina.base.digest import Digest
    from lamina.exporters.contract import BlobReader, ExportedImage
    from lamina.exporters.docker_api import DockerApi, HeldImage
    from lamina.exporters.file_sink import ByteSink
    from lamina.system.cancel import Cancellation

_INSPECTED_IMAGES = 16
"""The number of images on the host whose layers are requested."""


class Load:
    """The transfer of one image to one host.

    Args:
        diff_ids: of the image's layers, lowest first.
        bring: called before blobs are read; fetches blobs into the store, by their
        digests.
    """

    def __init__(
        self,
        api: DockerApi,
        image: ExportedImage,
        diff_ids: Sequence[Digest],
        blobs: BlobReader,
        bring: Callable[[frozenset[Digest]], None],
    ) -> None:
        self._api = api
        self._image = image
        self._diff_ids = list(map(str, diff_ids))
        self._blobs = blobs
        self._bring = bring

    def run(self, cancel: Cancellation) -> int:
        """Load the image under all its names. Returns the size of the layers sent, in bytes.

        Raises Unavailable, PermissionDenied, Corrupt, Cancelled, LaminaError (refused).
        """
        held = self._held()
        sent = 0
        if held is None:
            sent = self._send(cancel)
            held = self._held()
            if held is None:
                raise Corrupt("the image was loaded, but cannot be found by its ID")
        there = {_normal(tag) for tag in held.tags}
        for name in self._image.names:
            if _normal(name) not in there:
                reference = parse_reference(name)
                self._api.tag(held.id, reference.name, reference.tag or "latest")
        return sent

    def _held(self) -> HeldImage | None:
        # Docker on containerd's store identifies images by their manifest, all others by their
        # configuration.
        for digest in (self._image.config_descriptor.digest, self._image.target.digest):
            if (found := self._api.image(str(digest))) is not None:
                return found
        return None

    def _send(self, cancel: Cancellation) -> int:
        lacking = self._lacking()
        every = frozenset(layer.digest for layer in self._image.layers)
        if lacking != every:
            try:
                return self._archive(lacking, cancel)
            except (Cancelled, PermissionDenied):
                raise
            except LaminaError:
                # It has the layers with other digests, or has lost them meanwhile.
                cancel.check()
        return self._archive(every, cancel)

    def _archive(self, layers: frozenset[Digest], cancel: Cancellation) -> int:
        self._bring(layers)
        # At most one name: Podman reads an archive with several names as several images.
        image = self._image._replace(names=self._image.names[:1])

        def write(sink: ByteSink) -> None:
            write_archive(Artifact.of(image), self._blobs, sink, cancel, docker=True, only=layers)

        self._api.load(write)
        sizes = {layer.digest: layer.size for layer in image.layers}
        return sum(sizes[digest] for digest in layers)

    def _lacking(self) -> frozenset[Digest]:
        """The layers that no image of the host has at the same position."""
        layers = [layer.digest for layer in self._image.layers]
        if not layers or not self._api.keeps_layers_unpacked():
            return frozenset(layers)
        common = 0
        for name in (*self._image.names, *self._api.newest(_INSPECTED_IMAGES)):
            held = self._api.image(name)
            if held is not None:
                common = max(common, _common(held.layers, self._diff_ids))
            if common == len(layers):
                break
        return frozenset(layers[common:]) - frozenset(layers[:common])


def _common(one: Sequence[str], other: Sequence[str]) -> int:
    count = 0
    for ours, theirs in zip(one, other, strict=False):
        if ours != theirs:
            break
        count += 1
    return count


def _normal(name: str) -> str:
    """The full name. A malformed one is returned unchanged."""
    try:
        return str(parse_reference(name))
    except LaminaError:
        return name

"""The oci-layout source: an image in a directory of the client."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Protocol

from lamina.base.digest import parse_digest
from lamina.base.errors import Corrupt, InvalidInput, NotFound, Unsupported, from_os_error
from lamina.base.named_tuple import NamedTuple
from lamina.base.oci import (
    ANNOTATION_IMAGE_NAME,
    ANNOTATION_REF_NAME,
    Descriptor,
    Index,
    parse_manifest,
    select_platform,
)
from lamina.sources.blob_copy import blob_path, copy_blob, copy_from_client
from lamina.sources.manifests import (
    ResolvedManifest,
    add_origin,
    image_map,
    image_ref,
    lowest_layers,
)
from lamina.stores.origins import Origin, OriginKind
from lamina.system.regular import read_regular

if TYPE_CHECKING:
    from lamina.base.digest import Digest
    from lamina.base.platform import Platform
    from lamina.refs.manager import RefManager
    from lamina.refs.ref import Ref
    from lamina.session.contract import ContentStore
    from lamina.solver.contract import CacheMap, OpContext
    from lamina.sources.material import Material
    from lamina.stores.blobs import BlobStore
    from lamina.system.cancel import Cancellation

_DIGEST = re.compile(r"[a-z0-9]+:[0-9a-fA-F]{32,}\Z")
_TAG = re.compile(r"\w[\w.-]{0,127}\Z", re.ASCII)
_INDEX_LIMIT = 16 << 20


class Layout(Protocol):
    """An image in a layout, on this machine or at a client."""

    def target(self, cancel: Cancellation) -> Descriptor:
        """The manifest or index of the image. Raises NotFound, Corrupt, Unavailable."""
        ...

    def copy(self, descriptor: Descriptor, blobs: BlobStore, cancel: Cancellation) -> None:
        """Copy a blob into the store, verified. Raises NotFound, Corrupt, Cancelled."""
        ...

    @property
    def origin(self) -> Origin:
        """This layout as an origin of layers."""
        ...

    def __str__(self) -> str: ...


class LayoutLocation(NamedTuple):
    """Selects an image of a layout: by digest, else by tag (default `latest`)."""

    folder: str
    tag: str = ""
    digest: Digest | None = None

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return f"{self.folder}{tag}{f'@{self.digest}' if self.digest else ''}"


class FolderLayout:
    """An image of a layout in a directory of this machine."""

    def __init__(self, location: LayoutLocation) -> None:
        self._location = location

    @property
    def origin(self) -> Origin:
        return Origin(OriginKind.LAYOUT, self._location.folder)

    def __str__(self) -> str:
        return str(self._location)

    def copy(self, descriptor: Descriptor, blobs: BlobStore, cancel: Cancellation) -> None:
        copy_blob(self._location.folder, descriptor, blobs, cancel)

    def target(self, cancel: Cancellation) -> Descriptor:
        folder, tag, digest = self._location
        if digest is not None:
            # The index need not list it: it may be one of the images of a listed index.
            return Descriptor("", digest, _size(folder, digest))
        images = self._index().manifests
        wanted = tag or "latest"
        for name in (ANNOTATION_IMAGE_NAME, ANNOTATION_REF_NAME):
            for image in images:
                if dict(image.annotations).get(name) == wanted:
                    return image
        if len(images) == 1:  # with any tag (buildx)
            return images[0]
        tags = [dict(image.annotations).get(ANNOTATION_REF_NAME, "") for image in images]
        raise NotFound(
            f"{folder} has no image {wanted}",
            hint=f"it has: {', '.join(filter(None, tags)) or 'images without tags'}",
        )

    def _index(self) -> Index:
        path = os.path.join(self._location.folder, "index.json")
        try:
            data = read_regular(path, _INDEX_LIMIT)
        except FileNotFoundError:
            raise NotFound(
                f"{self._location.folder} is not an OCI layout: it has no index.json"
            ) from None
        except OSError as error:
            raise from_os_error(error, "read the layout") from error
        index = parse_manifest(data, "application/vnd.oci.image.index.v1+json")
        if not isinstance(index, Index) or not index.manifests:
            raise Corrupt(f"{path} lists no image")
        return index


class ClientLayout:
    """An image in a content store that a client provides, by its digest.

    `store` is the store's name in the session, `shown` the image's name in messages.
    """

    def __init__(self, content: ContentStore, store: str, digest: Digest, shown: str) -> None:
        self._content = content
        self._store = store
        self._digest = digest
        self._shown = shown

    @property
    def origin(self) -> Origin:
        return Origin(OriginKind.CLIENT, self._store)

    def __str__(self) -> str:
        return self._shown

    def target(self, cancel: Cancellation) -> Descriptor:
        size = self._content.size(self._digest, cancel)
        return Descriptor("", self._digest, size)

    def copy(self, descriptor: Descriptor, blobs: BlobStore, cancel: Cancellation) -> None:
        copy_from_client(self._content, descriptor, blobs, cancel)


class LayoutSource:
    """An image in a layout. Blobs that are needed are copied to the store and verified.

    `name` is that of the layout in the definition; `layers` is as for `ImageSource`.
    """

    def __init__(
        self,
        layout: Layout,
        name: str,
        platform: Platform,
        blobs: BlobStore,
        refs: RefManager,
        layers: str = "",
    ) -> None:
        self._layout = layout
        self._name = name
        self._found: Digest | None = None
        self._platform = platform
        self._blobs = blobs
        self._refs = refs
        self._layers = layers

    def resolve(self, cancel: Cancellation) -> ResolvedManifest:
        """Resolve the image. Raises NotFound, Corrupt, Unsupported (platform)."""
        target = self._layout.target(cancel)
        own = target.digest
        document = parse_manifest(self._read(target, cancel))
        if isinstance(document, Index):
            chosen = select_platform(document, self._platform)
            if chosen is None:
                raise Unsupported(f"{self._layout} has no image for {self._platform}")
            own = chosen.digest
            document = parse_manifest(self._read(chosen, cancel))
            if isinstance(document, Index):
                raise Corrupt(f"{self._layout}: nested indexes are not supported")
        config = self._read(document.config, cancel)
        self._found = target.digest
        resolved = ResolvedManifest(target.digest, document, config, own, self._layout.origin)
        return lowest_layers(resolved, self._layers)

    def cache_map(self, context: OpContext) -> CacheMap:
        resolved = self.resolve(context.cancel)
        add_origin(self._refs, resolved)
        return image_map(resolved, self._platform, self._layers)

    def material(self) -> Material | None:
        if self._found is None:
            return None
        from lamina.sources.material import ImageMaterial

        name = f"{self._name}@{self._found}"
        return ImageMaterial(name, self._platform, self._found, local=True)

    def fetch(self, context: OpContext) -> Ref:
        resolved = self.resolve(context.cancel)
        for layer in resolved.manifest.layers:
            self._layout.copy(layer, self._blobs, context.cancel)
        return image_ref(self._refs, resolved, str(self._layout))

    def _read(self, descriptor: Descriptor, cancel: Cancellation) -> bytes:
        self._layout.copy(descriptor, self._blobs, cancel)
        return self._blobs.read(descriptor.digest)


def parse_location(text: str) -> LayoutLocation:
    """Split `/folder[:tag][@digest]`. The name of the directory may contain other colons and at
    signs.

    Raises InvalidInput.
    """
    folder, digest, tag = text, None, ""
    before, _, after = text.rpartition("@")
    if before and _DIGEST.match(after):
        folder, digest = before, parse_digest(after)
    before, _, after = folder.rpartition(":")
    if before and _TAG.match(after):
        folder, tag = before, after
    if not folder:
        raise InvalidInput(f'"{text}" is not a directory')
    return LayoutLocation(folder, tag, digest)


def layout_folder(name: str) -> str:
    """The unique name of the directory of the layout `name` in a session of this process."""
    return f"oci-layout://{name}"


def _size(folder: str, digest: Digest) -> int:
    try:
        return os.stat(os.path.join(folder, blob_path(digest))).st_size
    except OSError:
        raise NotFound(f"{folder} does not contain the blob {digest}") from None

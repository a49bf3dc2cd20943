"""Images as documents: their layers, files and packages."""

from __future__ import annotations

import stat
import threading
from typing import TYPE_CHECKING

from lamina.base.errors import NotFound, Unsupported
from lamina.base.redact import redacted_values
from lamina.imagediff.files import WHITEOUT_FILE
from lamina.imagediff.layer_usage import image_usage
from lamina.layers.entry import OPAQUE, WHITEOUT
from lamina.system.cancel import Cancellation
from lamina.ui.documents import (
    Image,
    ImageRow,
    Images,
    LayerDocument,
    LayerFile,
    LayerFiles,
    Node,
    PackageRow,
    WastedFile,
)
from lamina.ui.shown_text import shown_text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lamina.imagediff.files import File
    from lamina.imagediff.image import Image as ReadImage
    from lamina.imagediff.layer_usage import ImageUsage, LayerUsage
    from lamina.ui.source import ImageSource

_KEPT = 4
_WASTED = 200
_DEPTH = 5
_CHILDREN = 24
_ENTRIES = 5000


class ImageReader:
    """Reads images. Keeps the last ones that were read. Thread-safe."""

    def __init__(self, source: ImageSource | None) -> None:
        self._source = source
        self._lock = threading.Lock()
        self._known: dict[str, tuple[Image, ImageUsage]] = {}

    def list(self) -> Images:
        """All images. Raises Unsupported for a daemon."""
        return Images(
            images=[
                ImageRow(
                    name=shown_text(row.name),
                    digest=row.digest,
                    size=row.size,
                    created=row.created,
                    platform=row.platform,
                )
                for row in self._images().images()
            ]
        )

    def image(self, digest: str) -> Image:
        """An image of the store; of an index, that for this machine. Raises NotFound, Corrupt."""
        return self._read(digest)[0]

    def files(self, digest: str, number: int, path: str) -> LayerFiles:
        """The entries of a directory in a layer. Raises NotFound, Corrupt."""
        layers = self._read(digest)[1].layers
        if not 1 <= number <= len(layers):
            raise NotFound(f"the image has no layer {number}: it has {len(layers)}")
        return LayerFiles(path=path, entries=_entries(layers[number - 1].files.entries, path))

    def _images(self) -> ImageSource:
        if self._source is None:
            raise Unsupported(
                "a daemon does not show its images", hint="use `lamina ui` on a local store"
            )
        return self._source

    def _read(self, digest: str) -> tuple[Image, ImageUsage]:
        with self._lock:  # one at a time: it reads the whole image
            found = self._known.pop(digest, None)
            if found is None:
                cancel = Cancellation()
                with self._images().open_image(digest, None, cancel) as image:
                    usage = image_usage(image, cancel)
                    found = _document(image, usage), usage
            self._known[digest] = found
            while len(self._known) > _KEPT:
                self._known.pop(next(iter(self._known)))
            return found


def _document(image: ReadImage, usage: ImageUsage) -> Image:
    return Image(
        name=shown_text(image.name),
        digest=str(image.digest or image.config_digest),
        platform=image.platform,
        size=sum(layer.descriptor.size for layer in image.layers),
        content=sum(layer.files.size for layer in usage.layers),
        wasted=sum(layer.wasted for layer in usage.layers),
        layers=[_layer(layer) for layer in usage.layers],
        wastedFiles=[
            WastedFile(path=shown_text(path), layers=list(layers), bytes=size)
            for path, layers, size in usage.wasted[:_WASTED]
        ],
        packages=[
            PackageRow(kind=p.manager, name=shown_text(p.name), version=shown_text(p.version))
            for p in usage.packages
        ],
        config=redacted_values(image.config),
    )


def _layer(usage: LayerUsage) -> LayerDocument:
    return LayerDocument(
        number=usage.layer.number,
        digest=str(usage.layer.digest),
        step=shown_text(usage.layer.step),
        size=usage.layer.descriptor.size,
        content=usage.files.size,
        files=sum(file.kind == stat.S_IFREG for _, file in usage.files.entries),
        deleted=usage.deleted,
        hidden=usage.hidden,
        wasted=usage.wasted,
        repeated=usage.repeated,
        tree=_tree(usage.files.entries),
    )


class _Sizes:
    """The size of a directory's files, and its children."""

    __slots__ = ("children", "size")

    def __init__(self) -> None:
        self.size = 0
        self.children: dict[str, _Sizes] = {}


def _tree(entries: Iterable[tuple[str, File]]) -> Node:
    """The largest files and directories of a layer."""
    root = _Sizes()
    for path, file in entries:
        if file.size:
            root.size += file.size
            current = root
            for name in path.split("/"):
                current = current.children.setdefault(name, _Sizes())
                current.size += file.size
    return _node("", root, _DEPTH)


def _node(name: str, sizes: _Sizes, depth: int) -> Node:
    children: list[Node] = []
    if depth:
        ordered = sorted(sizes.children.items(), key=lambda item: (-item[1].size, item[0]))
        children = [_node(*item, depth - 1) for item in ordered[:_CHILDREN]]
        rest = sum(item.size for _, item in ordered[_CHILDREN:])
        if rest:
            children.append(Node(name="…", size=rest, children=[]))
    return Node(name=shown_text(name), size=sizes.size, children=children)


def _entries(entries: Iterable[tuple[str, File]], path: str) -> list[LayerFile]:
    prefix = f"{path}/" if path else ""
    found: dict[str, LayerFile] = {}
    for place, file in entries:
        if not place.startswith(prefix) or place == path:
            continue
        name, below, _ = place[len(prefix) :].partition("/")
        known = found.get(name)
        if below:
            if known is None:
                known = found[name] = LayerFile(
                    name=shown_text(name), kind="directory", size=0, mode="", owner=""
                )
            known["size"] += file.size
        elif file is WHITEOUT_FILE:
            hidden = "all from lower layers" if name == OPAQUE else name[len(WHITEOUT) :]
            found[name] = LayerFile(
                name=shown_text(hidden), kind="deleted", size=0, mode="", owner=""
            )
        else:
            found[name] = LayerFile(
                name=shown_text(name),
                kind=file.type,
                size=file.size + (known["size"] if known else 0),
                mode=stat.filemode(file.mode),
                owner=f"{file.uid}:{file.gid}",
            )
    order = sorted(found.values(), key=lambda entry: (-entry["size"], entry["name"]))
    return order[:_ENTRIES]

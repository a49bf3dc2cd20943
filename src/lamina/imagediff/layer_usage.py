"""What each layer of an image adds, hides and wastes."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from lamina.base.named_tuple import NamedTuple
from lamina.imagediff.files import WHITEOUT_FILE
from lamina.imagediff.layer import read_layer
from lamina.layers.entry import OPAQUE, WHITEOUT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lamina.imagediff.files import File, Package
    from lamina.imagediff.image import Image, ImageLayer
    from lamina.imagediff.layer import LayerFiles
    from lamina.system.cancel import Cancellation


class LayerUsage(NamedTuple):
    """A layer. Sizes are of the content of regular files, in bytes.

    `deleted` is the number of its whiteouts; `hidden` are the bytes of lower layers that it deletes
    or replaces; `wasted` are those of its own that upper layers hide; `repeated` are those of its
    files whose content an earlier file of the image has, too.
    """

    layer: ImageLayer
    files: LayerFiles
    deleted: int = 0
    hidden: int = 0
    wasted: int = 0
    repeated: int = 0


class WastedPath(NamedTuple):
    """A path with content that upper layers hide: the layers that have it, and the hidden bytes."""

    path: str
    layers: tuple[int, ...]
    size: int


class ImageUsage(NamedTuple):
    """`wasted` has the paths with most hidden bytes first. `packages` are those that the visible
    files list."""

    layers: tuple[LayerUsage, ...]
    wasted: tuple[WastedPath, ...]
    packages: tuple[Package, ...]


class _Entry:
    """A path of the merged layers: the file of the topmost layer that has it, and its children."""

    __slots__ = ("children", "file", "number")

    def __init__(self) -> None:
        self.children: dict[str, _Entry] = {}
        self.file: File | None = None
        self.number = 0


def image_usage(image: Image, cancel: Cancellation) -> ImageUsage:
    """Read all layers of an image. Raises as `lamina.imagediff.layer.read_layer`."""
    merged = _Merged()
    for layer in image.layers:
        merged.apply(LayerUsage(layer, read_layer(image, layer, cancel)), cancel)
    return merged.result()


class _Merged:
    """Layers applied on each other, with what was hidden."""

    def __init__(self) -> None:
        self._root = _Entry()
        self._layers: list[LayerUsage] = []
        self._hidden: dict[str, tuple[set[int], int]] = {}
        self._contents: set[bytes] = set()

    def apply(self, usage: LayerUsage, cancel: Cancellation) -> None:
        number = len(self._layers)
        self._layers.append(usage)
        for path, file in usage.files.entries:
            cancel.check()
            folder, _, name = path.rpartition("/")
            if file is WHITEOUT_FILE:
                self._add(number, deleted=1)
                self._white_out(folder, name, number)
                continue
            if file.digest and file.size:
                if file.digest in self._contents:
                    self._add(number, repeated=file.size)
                self._contents.add(file.digest)
            entry = self._entry(path)
            if file.kind != stat.S_IFDIR or file.hard_link:
                self._hide_children(path, entry, number)
            self._hide(path, entry, number)
            entry.file, entry.number = file, number

    def result(self) -> ImageUsage:
        wasted = [
            WastedPath(path, tuple(sorted(n + 1 for n in layers)), size)
            for path, (layers, size) in self._hidden.items()
            if size
        ]
        wasted.sort(key=lambda each: (-each.size, each.path))
        packages: dict[Package, None] = {}
        for file in _files(self._root):
            if file.packages is not None:
                packages.update(dict.fromkeys(file.packages.packages))
        return ImageUsage(tuple(self._layers), tuple(wasted), tuple(sorted(packages)))

    def _entry(self, path: str) -> _Entry:
        entry = self._root
        for name in path.split("/") if path else ():
            entry = entry.children.setdefault(name, _Entry())
        return entry

    def _white_out(self, folder: str, name: str, number: int) -> None:
        """Hide what a whiteout names, but for what its own layer has."""
        if name == OPAQUE:
            self._hide_children(folder, self._entry(folder), number)
            return
        path = f"{folder}/{name[len(WHITEOUT) :]}".lstrip("/")
        entry = self._entry(path)
        self._hide_children(path, entry, number)
        self._hide(path, entry, number)

    def _hide_children(self, path: str, entry: _Entry, number: int) -> None:
        waiting = [(path, entry)]  # layers are not trusted: they may be deeper than the stack
        while waiting:
            above, folder = waiting.pop()
            for name, child in folder.children.items():
                place = f"{above}/{name}" if above else name
                self._hide(place, child, number)
                waiting.append((place, child))

    def _hide(self, path: str, entry: _Entry, number: int) -> None:
        file = entry.file
        if file is None or entry.number == number:
            return
        entry.file = None
        if file.size:
            self._add(number, hidden=file.size)
            self._add(entry.number, wasted=file.size)
            layers, size = self._hidden.get(path, (set(), 0))
            self._hidden[path] = layers | {entry.number, number}, size + file.size

    def _add(
        self, number: int, *, deleted: int = 0, hidden: int = 0, wasted: int = 0, repeated: int = 0
    ) -> None:
        usage = self._layers[number]
        self._layers[number] = usage._replace(
            deleted=usage.deleted + deleted,
            hidden=usage.hidden + hidden,
            wasted=usage.wasted + wasted,
            repeated=usage.repeated + repeated,
        )


def _files(root: _Entry) -> Iterator[File]:
    waiting = [root]
    while waiting:
        entry = waiting.pop()
        if entry.file is not None:
            yield entry.file
        waiting += entry.children.values()

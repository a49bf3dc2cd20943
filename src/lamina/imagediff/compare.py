"""Compares two images: their layers are read as streams, each once."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from lamina.imagediff.configuration import configuration_changes
from lamina.imagediff.files import File, Package, differences
from lamina.imagediff.layer import read_layer
from lamina.imagediff.pairing import pair_layers
from lamina.imagediff.result import (
    FileChange,
    ImageDiff,
    ImageSummary,
    LayerChange,
    LayerSummary,
    Options,
    PackageChange,
)
from lamina.imagediff.tree import FileTree

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from lamina.base.digest import Digest
    from lamina.imagediff.image import Image
    from lamina.imagediff.layer import LayerFiles
    from lamina.imagediff.tree import Inode
    from lamina.system.cancel import Cancellation

Inodes = dict[str, "Inode"]


def compare_images(
    before: Image, after: Image, options: Options, cancel: Cancellation
) -> ImageDiff:
    """Compare two images.

    Images with the same layers are compared without reading them. Otherwise the entries of all
    layers are in memory, about 1 KiB each, but no content is. Raises as `read_layer` does.
    """
    configuration = configuration_changes(before, after, options)
    summaries = _summary(before), _summary(after)
    known_blobs = None not in (before.digest, after.digest)
    if known_blobs and _blobs(before) == _blobs(after):
        same = tuple(
            LayerChange(old, new, True, ())
            for old, new in zip(_unread(before), _unread(after), strict=True)
        )
        return ImageDiff(*summaries, options, configuration, (), same if options.layers else (), ())
    known: dict[Digest, LayerFiles] = {}
    old_layers = _read(before, known, cancel)
    new_layers = _read(after, known, cancel)
    layers: tuple[LayerChange, ...] = ()
    if options.layers:
        layers = _layer_changes(before, after, old_layers, new_layers, options)
    old, new = _inodes(before, old_layers, cancel), _inodes(after, new_layers, cancel)
    files = tree_changes(old, new, times=True)
    time_only = 0
    if not options.times:
        timeless = [_without_time(change) for change in files]
        files = tuple(change for change in timeless if change is not None)
        time_only = len(timeless) - len(files)
    return ImageDiff(
        *summaries,
        options,
        configuration,
        package_changes(old, new),
        layers,
        files,
        time_only,
        tuple(
            (image.name, problem)
            for image, inodes in ((before, old), (after, new))
            for problem in _problems(inodes)
        ),
    )


def tree_changes(before: Inodes, after: Inodes, *, times: bool) -> tuple[FileChange, ...]:
    """The paths that differ, in the order of a walk through the tree."""
    common = [
        path
        for path, inode in before.items()
        if path in after and inode.file.kind == after[path].file.kind
    ]
    old_links, new_links = _links(before, common), _links(after, common)
    changes = []
    for path in sorted(before.keys() | after.keys(), key=_walk_key):
        old, new = before.get(path), after.get(path)
        links = old_links.get(path, ""), new_links.get(path, "")
        differs: tuple[str, ...] = ()
        if old is not None and new is not None:
            differs = differences(old.file, new.file, times=times)
            if "type" not in differs and links[0] != links[1]:
                differs = (*differs, "hard link")
            if not differs:
                continue
        changes.append(
            FileChange(
                path,
                old.file if old is not None else None,
                new.file if new is not None else None,
                differs,
                old.layer if old is not None else 0,
                new.layer if new is not None else 0,
                *links,
            )
        )
    return tuple(changes)


def package_changes(before: Inodes, after: Inodes) -> tuple[PackageChange, ...]:
    """The packages of which other versions are installed."""
    old, new = _versions(before), _versions(after)
    return tuple(
        PackageChange(*key, old.get(key, ()), new.get(key, ()))
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
    )


def layer_entries(layer: LayerFiles) -> dict[str, File]:
    """The last entry of a layer for each path."""
    return dict(layer.entries)


def _blobs(image: Image) -> list[Digest]:
    return [layer.digest for layer in image.layers]


def _summary(image: Image) -> ImageSummary:
    size = sum(layer.descriptor.size for layer in image.layers)
    return ImageSummary(image.name, image.digest, image.config_digest, image.platform, size)


def _unread(image: Image) -> list[LayerSummary]:
    return [
        LayerSummary(
            layer.number,
            layer.digest,
            layer.diff_id,
            layer.descriptor.size,
            layer.step,
            None,
            None,
        )
        for layer in image.layers
    ]


def _read(image: Image, known: dict[Digest, LayerFiles], cancel: Cancellation) -> list[LayerFiles]:
    """The layers of an image. `known` are those that have been read, by the digest of the blob."""
    found = []
    for layer in image.layers:
        files = known.get(layer.digest) if layer.has_blob_digest else None
        if files is None or (layer.diff_id is not None and files.diff_id != layer.diff_id):
            files = read_layer(image, layer, cancel)
            if layer.has_blob_digest:
                known[layer.digest] = files
        found.append(files)
    return found


def _inodes(image: Image, layers: Sequence[LayerFiles], cancel: Cancellation) -> Inodes:
    from lamina.base.errors import Corrupt

    tree = FileTree()
    for number, layer in enumerate(layers, 1):
        try:
            tree.apply(layer, number, cancel)
        except Corrupt as error:
            reason = f"{image.name}: layer {number}: {error.reason}"
            raise error.with_context(reason=reason) from error
    return tree.inodes()


def _layer_changes(
    before: Image,
    after: Image,
    old: Sequence[LayerFiles],
    new: Sequence[LayerFiles],
    options: Options,
) -> tuple[LayerChange, ...]:
    def described(image: Image, layers: Sequence[LayerFiles]) -> list[LayerSummary]:
        return [
            summary._replace(diff_id=files.diff_id, files=len(files.entries), content=files.size)
            for summary, files in zip(_unread(image), layers, strict=True)
        ]

    lefts, rights = described(before, old), described(after, new)
    pairs = pair_layers(
        [(layer.diff_id, layer.step) for layer in lefts],
        [(layer.diff_id, layer.step) for layer in rights],
    )
    found = []
    for a, b in pairs:
        left = lefts[a] if a is not None else None
        right = rights[b] if b is not None else None
        same = left is not None and right is not None and left.diff_id == right.diff_id
        changes: tuple[FileChange, ...] = ()
        if not same:
            changes = _entry_changes(
                layer_entries(old[a]) if a is not None else {},
                layer_entries(new[b]) if b is not None else {},
                times=options.times,
            )
        found.append(LayerChange(left, right, same, changes))
    return tuple(found)


def _entry_changes(
    before: Mapping[str, File], after: Mapping[str, File], *, times: bool
) -> tuple[FileChange, ...]:
    changes = []
    for path in sorted(before.keys() | after.keys(), key=_walk_key):
        old, new = before.get(path), after.get(path)
        differs: tuple[str, ...] = ()
        if old is not None and new is not None:
            differs = differences(old, new, times=times)
            if not differs:
                continue
        changes.append(
            FileChange(
                path,
                old,
                new,
                differs,
                before_link=old.hard_link if old is not None else "",
                after_link=new.hard_link if new is not None else "",
            )
        )
    return tuple(changes)


def _without_time(change: FileChange) -> FileChange | None:
    """The change without differences in time; None if nothing else differs."""
    if "time" not in change.differs:
        return change
    differs = tuple(name for name in change.differs if name != "time")
    return change._replace(differs=differs) if differs else None


def _links(inodes: Inodes, common: Iterable[str]) -> dict[str, str]:
    """For each path of a file with several paths: the path that represents the file."""
    paths: dict[Inode, list[str]] = {}
    for path, inode in inodes.items():
        if inode.file.kind != stat.S_IFDIR:
            paths.setdefault(inode, []).append(path)
    shared = set(common)
    found = {}
    for names in paths.values():
        if len(names) > 1:
            in_both = [name for name in names if name in shared]
            first = min(in_both or names)
            for name in names:
                # A file whose other paths only one image has is not a hard link in the other.
                if name not in shared or len(in_both) > 1:
                    found[name] = first
    return found


def _versions(inodes: Inodes) -> dict[tuple[str, str], tuple[str, ...]]:
    found: dict[tuple[str, str], set[str]] = {}
    for inode in inodes.values():
        if inode.file.packages is not None:
            for package in inode.file.packages.packages:
                found.setdefault(_key(package), set()).add(package.version)
    return {key: tuple(sorted(versions)) for key, versions in found.items()}


def _key(package: Package) -> tuple[str, str]:
    return package.manager, package.name


def _problems(inodes: Inodes) -> list[str]:
    found = (inode.file.packages for inode in inodes.values())
    return sorted({packages.problem for packages in found if packages and packages.problem})


def _walk_key(path: str) -> bytes:
    return os.fsencode(path).replace(b"/", b"\0")

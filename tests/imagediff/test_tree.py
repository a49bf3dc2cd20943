"""Random layers: the tree in memory equals the unpacked one, and the changes of a comparison
convert one image's tree to the other's."""

from __future__ import annotations

import io
import os
import stat
import tempfile
from contextlib import suppress
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from lamina.base.digest import digest_of
from lamina.base.errors import Corrupt, LaminaError
from lamina.imagediff.compare import compare_images, tree_changes
from lamina.imagediff.layer import read_layer
from lamina.imagediff.result import Options
from lamina.imagediff.tree import FileTree
from lamina.layers.apply import Whiteouts, apply_layer
from lamina.layers.entry import OPAQUE, Entry
from lamina.layers.stack import Stack
from lamina.system.cancel import Cancellation
from tests.imagediff.memory_image import Member, file, folder, hard_link, image, link, packed

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

    from lamina.imagediff.compare import Inodes
    from lamina.imagediff.files import File
    from lamina.imagediff.image import Image

NAMES = ("a", "b", "c")
Layers = list[list[Member]]
Files = dict[str, tuple[object, ...]]


def paths(depth: int = 3) -> SearchStrategy[str]:
    return st.lists(st.sampled_from(NAMES), min_size=1, max_size=depth).map("/".join)


def members(links: bool) -> SearchStrategy[Member]:
    modes = st.sampled_from((0o755, 0o700, 0o1777))
    owners = st.sampled_from((0, 7))
    kinds = [
        st.builds(
            lambda path, text, mode, uid, time: file(path, text, mode, uid=uid, mtime_ns=time),
            *(paths(), st.sampled_from(("", "1", "22")), modes, owners, st.sampled_from((0, 5))),
        ),
        st.builds(lambda path, mode, gid: folder(path, mode, gid=gid), paths(), modes, owners),
        st.builds(hard_link, paths(), paths()),
        st.builds(
            lambda path: Member(Entry(path, stat.S_IFREG)),
            st.builds(
                lambda parent, name: f"{parent}/.wh.{name}" if parent else f".wh.{name}",
                st.one_of(st.just(""), paths(2)),
                st.sampled_from((*NAMES, ".wh..opq")),
            ),
        ),
        st.builds(lambda path: Member(Entry(path, stat.S_IFIFO | 0o600)), paths()),
    ]
    if links:
        targets = st.sampled_from(("a", "/b", "../c", "c/a", "."))
        kinds.append(st.builds(link, paths(), targets))
    return st.one_of(kinds)


def layers(*, links: bool = True) -> SearchStrategy[Layers]:
    return st.lists(st.lists(members(links), max_size=8), min_size=1, max_size=3)


def tree(made: Image) -> Inodes:
    found = FileTree()
    for layer in made.layers:
        found.apply(read_layer(made, layer, Cancellation()), layer.number, Cancellation())
    return found.inodes()


def unpacked(made: Layers, root: str) -> Files:
    """The result of unpacking these layers: type, mode, owner and content by path."""
    folders: list[str] = []
    for number, layer in enumerate(made):
        place = os.path.join(root, str(number))
        os.mkdir(place)
        stream = io.BytesIO(packed(layer))
        apply_layer(stream, place, Whiteouts.OVERLAY, Cancellation(), list(folders))
        folders.append(place)
    stack = Stack(folders)
    found: Files = {}
    waiting = [""]
    while waiting:
        parent = waiting.pop()
        for name in stack.names(parent):
            path = f"{parent}/{name}" if parent else name
            there = stack.find(path)
            assert there is not None
            place, status = there
            content = ""
            if stat.S_ISDIR(status.st_mode):
                waiting.append(path)
            elif stat.S_ISLNK(status.st_mode):
                content = os.readlink(place)
            elif stat.S_ISREG(status.st_mode):
                with open(place, "rb") as data:
                    content = digest_of(data.read())
            found[path] = status.st_mode, status.st_uid, status.st_gid, content
    return found


def seen(inodes: Inodes) -> Files:
    found: Files = {}
    for path, inode in inodes.items():
        one = inode.file
        content = f"sha256:{one.digest.hex()}" if one.digest else one.target
        if path:
            found[path] = one.mode, one.uid, one.gid, content
    return found


def without_owners(files: Files) -> Files:
    """Files where directories only have a type."""
    return {
        path: (stat.S_IFDIR,) if stat.S_ISDIR(int(str(fields[0]))) else fields
        for path, fields in files.items()
    }


def as_tools_pack(made: Layers) -> Layers:
    """Layers with one entry for each path and each of its parents, whose hard links refer to
    entries of the same layer.

    Unpacking on overlayfs copies a file of another layer before it links it.
    """
    found = []
    for layer in made:
        kept: dict[str, Member] = {}
        for member in layer:
            target = member.entry.hard_link
            if not target or target in kept:
                kept.setdefault(member.entry.path, member)
        complete: dict[str, Member] = {}
        for path, member in kept.items():
            parents = path.split("/")[:-1]
            for depth in range(1, len(parents) + 1):
                parent = "/".join(parents[:depth])
                complete.setdefault(parent, kept.get(parent) or folder(parent))
            complete.setdefault(path, member)
        found.append(list(complete.values()))
    return found


@settings(max_examples=100)
@given(layers().map(as_tools_pack))
def test_the_tree_is_what_unpacking_gives(made: Layers) -> None:
    with tempfile.TemporaryDirectory(prefix="lamina-test-") as root:
        try:
            expected = unpacked(made, root)
        except LaminaError:
            with suppress(Corrupt):  # some hard links are supported that overlayfs cannot have
                tree(image(*made))
        else:
            found = seen(tree(image(*made)))
            if any(member.entry.path.endswith(OPAQUE) for layer in made for member in layer):
                # A directory without an entry is unpacked with the metadata of the one that it
                # hides.
                found, expected = without_owners(found), without_owners(expected)
            assert found == expected


def applied(before: Inodes, made: Options, one: Image, other: Image) -> dict[str, tuple[File, str]]:
    """The files of the first tree with the changes of the comparison, with the path that represents
    each set of hard links."""
    diff = compare_images(one, other, made, Cancellation())
    files = {path: inode.file for path, inode in before.items()}
    groups: dict[str, set[str]] = {}
    for path, inode in before.items():
        if inode.children is None:
            groups.setdefault(str(id(inode)), set()).add(path)
    changed = {change.path: change for change in diff.files}
    kept = [path for path in files if path not in changed or changed[path].after is not None]
    result: dict[str, tuple[File, str]] = {}
    for path in kept:
        result[path] = files[path], ""
    for group in groups.values():
        left = sorted(
            path
            for path in group
            if path not in changed
            or ("type" not in changed[path].differs and changed[path].after is not None)
        )
        if len(left) > 1:
            for path in left:
                result[path] = files[path], left[0]
    for path, change in changed.items():
        if change.after is not None:
            whole = change.before is None or {"type", "hard link"} & set(change.differs)
            link_to = change.after_link if whole else result[path][1]
            result[path] = change.after, link_to
    return result


def partition(links: dict[str, str]) -> set[frozenset[str]]:
    """The sets of two or more paths with the same representative."""
    sets: dict[str, set[str]] = {}
    for path, first in links.items():
        if first:
            sets.setdefault(first, {first}).add(path)
    return {frozenset(paths) for paths in sets.values() if len(paths) > 1}


@settings(max_examples=100)
@given(layers(links=False), layers(links=False))
def test_the_statements_turn_one_tree_into_the_other(one: Layers, other: Layers) -> None:
    before, after = image(*one), image(*other)
    try:
        old, new = tree(before), tree(after)
    except Corrupt:
        return
    result = applied(old, Options(times=True), before, after)
    expected = {path: inode.file for path, inode in new.items()}
    assert result.keys() == expected.keys()
    for path, (found, _) in result.items():
        wanted = expected[path]
        if None in (found.mtime_ns, wanted.mtime_ns):  # unknown times are not compared
            found, wanted = found._replace(mtime_ns=0), wanted._replace(mtime_ns=0)
        assert found._replace(packages=None) == wanted._replace(packages=None), path
    by_inode: dict[int, set[str]] = {}
    for path, inode in new.items():
        if inode.children is None:
            by_inode.setdefault(id(inode), set()).add(path)
    linked = {frozenset(paths) for paths in by_inode.values() if len(paths) > 1}
    assert partition({path: first for path, (_, first) in result.items()}) == linked


@settings(max_examples=100)
@given(layers())
def test_a_tree_does_not_differ_from_itself(made: Layers) -> None:
    try:
        found = tree(image(*made))
    except Corrupt:
        return
    assert tree_changes(found, tree(image(*made)), times=True) == ()

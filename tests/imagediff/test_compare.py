"""Differences between two images."""

from __future__ import annotations

import gzip
import io
import stat
import tarfile
from typing import TYPE_CHECKING

import pytest

from lamina.base.digest import digest_of
from lamina.base.errors import Cancelled, Corrupt, Exhausted, NotFound, Unsupported
from lamina.imagediff.compare import compare_images
from lamina.imagediff.result import Options
from lamina.layers.entry import Entry
from lamina.system.cancel import Cancellation
from tests.imagediff.memory_image import (
    Member,
    MemoryContent,
    file,
    folder,
    hard_link,
    image,
    link,
    packed,
)

if TYPE_CHECKING:
    from lamina.imagediff.image import Image
    from lamina.imagediff.result import ImageDiff

Found = dict[str, tuple[str, ...]]


def compared(before: Image, after: Image, **options: bool) -> ImageDiff:
    return compare_images(before, after, Options(**options), Cancellation())


def changes(diff: ImageDiff) -> Found:
    """The differences by path: `+`, `-` or names."""
    found: Found = {}
    for change in diff.files:
        if change.before is None:
            found[change.path] = ("+",)
        else:
            found[change.path] = ("-",) if change.after is None else change.differs
    return found


def test_every_kind_of_difference_of_a_file() -> None:
    before = image(
        [
            file("content", "a"),
            file("mode", mode=0o644),
            file("owner", uid=1),
            link("target", "x"),
            Member(Entry("device", stat.S_IFCHR | 0o600, rdev_major=1, rdev_minor=3)),
            file("xattrs", xattrs=(("user.a", b"1"),)),
            file("type"),
            file("time", mtime_ns=1),
            file("removed"),
            file("same", "s", xattrs=(("user.a", b"1"), ("user.b", b"2"))),
        ]
    )
    after = image(
        [
            file("content", "b"),
            file("mode", mode=0o4644),
            file("owner", gid=1),
            link("target", "y"),
            Member(Entry("device", stat.S_IFCHR | 0o600, rdev_major=1, rdev_minor=5)),
            file("xattrs", xattrs=(("user.a", b"2"),)),
            folder("type", 0o644),
            file("time", mtime_ns=2),
            file("added"),
            file("same", "s", xattrs=(("user.b", b"2"), ("user.a", b"1"))),
        ]
    )
    diff = compared(before, after)
    names = ("content", "mode", "owner", "target", "device", "xattrs", "type")
    expected: Found = {name: (name,) for name in names}
    expected |= {"removed": ("-",), "added": ("+",)}
    assert changes(diff) == expected
    assert [change.path for change in diff.files] == sorted(expected)
    assert diff.time_only == 1
    assert not diff.equal
    timed = compared(before, after, times=True)
    assert changes(timed) == {**expected, "time": ("time",)}
    assert timed.time_only == 0


def test_images_that_differ_only_in_times_are_equal_unless_times_are_compared() -> None:
    before = image([folder("d"), file("d/f", mtime_ns=5)], created="2020-01-01T00:00:00Z")
    after = image([folder("d", mtime_ns=7), file("d/f")], created="2021-01-01T00:00:00Z")
    diff = compared(before, after)
    assert diff.equal
    assert diff.time_only == 2
    assert [layer.same for layer in diff.layers] == [False]
    timed = compared(before, after, times=True)
    assert not timed.equal
    assert [(c.field, c.before[:4], c.after[:4]) for c in timed.configuration] == [
        ("created", "2020", "2021")
    ]


def test_final_file_systems_are_compared_whatever_the_layers_are() -> None:
    before = image([folder("d"), file("d/a"), file("d/b")], [file("d/.wh.a"), file("c")])
    after = image([folder("d"), file("d/b"), file("c")])
    diff = compared(before, after)
    assert diff.files == ()
    assert not diff.equal
    assert compared(before, after, layers=False).equal
    assert compared(before, after, layers=False).layers == ()


def test_a_file_knows_its_layer() -> None:
    before = image([file("a", "1"), file("b")])
    after = image([file("a", "1"), file("b")], [file("c")], [file("a", "2")])
    found = {c.path: (c.before_layer, c.after_layer) for c in compared(before, after).files}
    assert found == {"a": (1, 3), "c": (0, 2)}


def test_layers_of_the_same_step_are_compared_with_each_other() -> None:
    base, new = [file("base")], [file("new")]
    before = image(base, [file("x", "1")], steps=["FROM", "RUN x"])
    after = image(base, new, [file("x", "2")], steps=["FROM", "RUN new", "RUN x"])
    layers = compared(before, after).layers
    assert [(c.before and c.before.number, c.after and c.after.number, c.same) for c in layers] == [
        (1, 1, True),
        (None, 2, False),
        (2, 3, False),
    ]
    assert [[change.path for change in c.changes] for c in layers] == [[], ["new"], ["x"]]
    assert layers[2].changes[0].differs == ("content",)
    assert layers[1].after is not None
    assert (layers[1].after.step, layers[1].after.files) == ("RUN new", 1)


def test_a_layer_that_only_one_image_has_is_a_difference_even_if_it_is_empty() -> None:
    diff = compared(image([file("a")]), image([file("a")], []))
    assert diff.files == ()
    assert not diff.equal


def test_whiteouts_are_differences_of_layers() -> None:
    base = [folder("d"), file("d/a")]
    before = image(base, [file("d/.wh.a")])
    after = image(base, [folder("d"), file("d/.wh..wh..opq"), file("d/.wh..wh.plnk")])
    diff = compared(before, after)
    assert diff.files == ()
    assert [change.path for change in diff.layers[1].changes] == [
        "d",
        "d/.wh..wh..opq",
        "d/.wh.a",
    ]


def test_compression_makes_no_difference() -> None:
    tar = packed([file("a", "x" * 5000)])
    before = image(tar)
    after = image(gzip.compress(tar), diff_ids=[digest_of(tar)])
    diff = compared(before, after)
    assert diff.equal
    assert diff.layers[0].same
    assert diff.layers[0].before != diff.layers[0].after


def test_hard_links_are_compared_as_sets_of_paths() -> None:
    before = image([file("a", "1"), hard_link("b", "a"), hard_link("c", "a")])
    apart = image([file("a", "1"), file("b", "1"), file("c", "1")])
    found = compared(before, apart)
    assert changes(found) == dict.fromkeys("abc", ("hard link",))
    assert [(c.before_link, c.after_link) for c in found.files] == [("a", "")] * 3
    # The order of entries and a removed path do not make other entries differ.
    reordered = image([file("c", "1"), hard_link("b", "c")])
    assert changes(compared(before, reordered)) == {"a": ("-",)}
    more = image([file("a", "1"), hard_link("b", "a"), hard_link("c", "a"), hard_link("0", "c")])
    added = compared(before, more)
    assert changes(added) == {"0": ("+",)}
    assert added.files[0].after_link == "a"


def test_a_change_of_a_file_with_hard_links_is_a_change_of_every_path() -> None:
    before = image([file("a", "1"), hard_link("b", "a")])
    after = image([file("a", "2"), hard_link("b", "a")])
    assert changes(compared(before, after)) == {"a": ("content",), "b": ("content",)}


def test_images_with_the_same_layers_are_compared_without_reading_them() -> None:
    before = image([file("a")], config={"User": "a"})
    after = image([file("a")], config={"User": "b"})
    diff = compared(before, after)
    assert [(c.field, c.before, c.after) for c in diff.configuration] == [("User", "a", "b")]
    for side in (before, after):
        assert isinstance(side.content, MemoryContent)
        assert side.content.reads == []
    assert [(c.same, c.before and c.before.files) for c in diff.layers] == [(True, None)]


def test_a_layer_of_both_images_is_read_once() -> None:
    before = image([file("base")], [file("a")])
    after = image([file("base")], [file("b")])
    compared(before, after)
    assert isinstance(before.content, MemoryContent)
    assert isinstance(after.content, MemoryContent)
    assert len(before.content.reads) == 2
    assert after.content.reads == [after.layers[1].digest]


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (b"not a tar archive" * 100, "malformed tar"),
        (packed([file("a", "x" * 2000)])[:1500], "truncated tar"),
        (gzip.compress(packed([file("a")]), mtime=0)[:-9], "gzip stream ends early"),
        (packed([file("../a")]), "points outside"),
        (packed([file("a"), file("a/b")]), "a is not a directory"),
        (packed([hard_link("a", "b")]), "a hard link to b, which is missing"),
        (packed([hard_link("a", "a")]), "a hard link to a, which is missing"),
        (packed([file("a"), hard_link("a", "a")]), "a hard link to itself"),
        (packed([folder("d"), hard_link("a", "d")]), "a hard link to no file"),
        (packed([link("a", "a"), file("a/b")]), "too many levels of symbolic links"),
        (packed([file("x/" * 2040 + "y" * 90)]), "the path is too long"),
        (packed([link("a", "x" * 5000)]), "target of the link is too long"),
        (packed([file("", "x")]), "its root is not a directory"),
    ],
)
def test_malformed_layers_are_refused(layer: bytes, reason: str) -> None:
    tar = gzip.decompress(gzip.compress(packed([file("a")])))
    ids = [digest_of(tar)] if layer[:2] == b"\x1f\x8b" else None
    with pytest.raises(Corrupt, match=reason) as caught:
        compared(image(layer, name="bad", diff_ids=ids), image([file("other")]))
    assert caught.value.reason.startswith("bad: layer 1")


def test_blobs_must_have_their_digests() -> None:
    good = image([file("a")], name="good")
    blobs = {layer.digest: packed([file("b")]) for layer in good.layers}
    swapped = good._replace(content=MemoryContent(blobs), name="bad")
    with pytest.raises(Corrupt, match="does not match its digest"):
        compared(swapped, image([file("c")]))
    longer = {layer.digest: packed([file("a")]) + bytes(512) for layer in good.layers}
    with pytest.raises(Corrupt, match="larger than its descriptor"):
        compared(good._replace(content=MemoryContent(longer)), image([file("c")]))
    with pytest.raises(NotFound, match=r"image: layer 1 .*no blob"):
        compared(image([file("c")])._replace(content=MemoryContent({})), good)
    wrong = image([file("a")], diff_ids=[digest_of(b"other")])
    with pytest.raises(Corrupt, match="but the image has"):
        compared(wrong, image([file("c")]))


def test_the_size_of_what_a_layer_holds_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAMINA_MAX_UNPACKED", "1MB")
    tar = packed([file("zeros", bytes(3 << 20))])
    bomb = image(gzip.compress(tar), diff_ids=[digest_of(tar)])
    with pytest.raises(Exhausted, match="larger than 1048576 bytes"):
        compared(bomb, image([file("a")]))


def test_files_with_very_large_holes_are_refused() -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as made:
        info = tarfile.TarInfo("hole")
        info.pax_headers = {"GNU.sparse.size": str(1 << 62), "GNU.sparse.map": f"{1 << 62},0"}
        made.addfile(info)
    tar = out.getvalue()
    with pytest.raises(Unsupported, match=f"hole is a sparse file of {1 << 62} bytes"):
        compared(image(tar, diff_ids=[digest_of(tar)]), image([file("a")]))


def test_a_comparison_can_be_cancelled() -> None:
    cancel = Cancellation()
    cancel.cancel("stop")
    with pytest.raises(Cancelled):
        compare_images(image([file("a")]), image([file("b")]), Options(), cancel)


def test_images_of_other_artifacts_are_refused() -> None:
    from lamina.base.oci import Descriptor, Manifest
    from lamina.imagediff.image import image_of

    config = Descriptor("application/vnd.cncf.helm.config.v1+json", digest_of(b"{}"), 2)
    chart = Descriptor("application/vnd.cncf.helm.chart.content.v1.tar+zip", digest_of(b""), 0)
    manifest = Manifest("", config, (chart,))
    with pytest.raises(Unsupported, match="not that of a file system layer"):
        image_of("chart", None, manifest, b"{}", MemoryContent({}))
    with pytest.raises(Corrupt, match="has 1 layers, but its configuration lists 2"):
        image([file("a")], diff_ids=[digest_of(b"a"), digest_of(b"b")])

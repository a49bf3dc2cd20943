"""Archives and layouts: unusual, hostile and compressed ones."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import tarfile
from typing import TYPE_CHECKING, Any

import pytest

from lamina.base.digest import digest_of
from lamina.base.errors import Corrupt, InvalidInput, LaminaError, NotFound, Unsupported
from lamina.base.platform import parse_platform
from lamina.imagediff.archive import open_archive
from lamina.imagediff.compare import compare_images
from lamina.imagediff.result import Options
from lamina.system.cancel import Cancellation
from tests.imagediff.memory_image import file, image, packed

if TYPE_CHECKING:
    from pathlib import Path

    from lamina.imagediff.image import Image

LAYER = packed([file("f", "x")])
ENTRY = {"Config": "config.json", "RepoTags": ["app:1"], "Layers": ["0.tar"]}


def config(*layers: bytes) -> bytes:
    ids = [digest_of(layer) for layer in layers]
    return json.dumps(
        {"os": "linux", "architecture": "amd64", "rootfs": {"diff_ids": ids}}
    ).encode()


def archive(
    folder: Path,
    manifest: Any,
    files: dict[str, bytes] | None = None,
    links: dict[str, str] | None = None,
) -> str:
    """Docker's archive, with a configuration and one layer unless `files` has others."""
    data = manifest if isinstance(manifest, bytes) else json.dumps(manifest).encode()
    members = {"0.tar": LAYER, "config.json": config(LAYER), **(files or {}), "manifest.json": data}
    path = folder / "archive.tar"
    with tarfile.open(path, "w") as made:
        for name, target in (links or {}).items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            made.addfile(info)
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            made.addfile(info, io.BytesIO(content))
    return str(path)


def opened(path: str, wanted: str = "", platform: str = "") -> Image:
    chosen = parse_platform(platform) if platform else None
    return open_archive(path, wanted, chosen, Cancellation())


def is_equal(found: Image) -> bool:
    reference = image(LAYER)
    return compare_images(found, reference, Options(), Cancellation()).equal


@pytest.mark.parametrize("wanted", ["", "app:1", "1", "docker.io/library/app:1"])
def test_images_are_found_by_name_and_tag(tmp_path: Path, wanted: str) -> None:
    assert is_equal(opened(archive(tmp_path, [ENTRY]), wanted))


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress])
def test_compressed_archives_and_layers(tmp_path: Path, compress: Any) -> None:
    path = archive(tmp_path, [ENTRY], {"0.tar": compress(LAYER)})
    assert is_equal(opened(path))
    (tmp_path / "compressed").write_bytes(compress((tmp_path / "archive.tar").read_bytes()))
    assert is_equal(opened(str(tmp_path / "compressed")))


def test_links_between_layers_are_followed(tmp_path: Path) -> None:
    """Old versions of `docker save`, and podman, link layers that images share."""
    entry = {**ENTRY, "Layers": ["a/b/layer.tar"]}
    assert is_equal(opened(archive(tmp_path, [entry], links={"a/b/layer.tar": "../../0.tar"})))


@pytest.mark.parametrize(
    ("manifest", "files", "reason"),
    [
        (b"{", {}, "malformed manifest.json"),
        ({"Config": "config.json"}, {}, "is not an array"),
        ([], {}, "contains no image"),
        ([None], {}, "is incomplete: it has no file"),
        ([{**ENTRY, "Layers": [5]}], {}, "is not a string"),
        ([{**ENTRY, "Layers": ["1.tar"]}], {}, "it has no file 1.tar"),
        ([{**ENTRY, "Config": "../../etc/passwd"}], {}, "points outside"),
        ([{**ENTRY, "Layers": ["loop"]}], {}, "it has no file loop"),
        ([{**ENTRY, "Layers": ["outside"]}], {}, "it has no file outside"),
        ([{**ENTRY, "Layers": []}], {}, "has 0 layers, but .* lists 1"),
        ([ENTRY], {"config.json": b"[]"}, "not a JSON object"),
        ([ENTRY], {"config.json": b"[" * 100_000}, "malformed image configuration"),
        ([ENTRY], {"config.json": b'{"rootfs": {"diff_ids": ["x"]}}'}, "is not a digest"),
        (
            [{**ENTRY, "Config": f"{'0' * 64}.json"}],
            {f"{'0' * 64}.json": config(LAYER)},
            "does not match its digest",
        ),
    ],
)
def test_malformed_archives_are_refused(
    tmp_path: Path, manifest: Any, files: dict[str, bytes], reason: str
) -> None:
    links = {"loop": "loop", "outside": "../../../etc/passwd"}
    path = archive(tmp_path, manifest, files, links)
    with pytest.raises(Corrupt, match=reason) as caught:
        opened(path)
    assert path in caught.value.reason


def test_a_layer_must_have_its_diff_id(tmp_path: Path) -> None:
    path = archive(tmp_path, [ENTRY], {"0.tar": packed([file("f", "y")])})
    with pytest.raises(Corrupt, match=r"archive\.tar: layer 1 .* but the image has"):
        is_equal(opened(path))


def test_what_is_not_there_is_not_found(tmp_path: Path) -> None:
    path = archive(tmp_path, [ENTRY, {**ENTRY, "RepoTags": ["app:2"]}])
    with pytest.raises(InvalidInput, match="contains 2 images") as several:
        opened(path)
    assert several.value.hint == "it has: app:1, app:2"
    with pytest.raises(NotFound, match="has no image app:3"):
        opened(path, "app:3")
    with pytest.raises(NotFound, match="is an image for linux/amd64, not for linux/arm64"):
        opened(path, "app:2", "linux/arm64")
    assert is_equal(opened(path, "app:2", "linux/amd64"))


def test_sparse_members_are_refused(tmp_path: Path) -> None:
    """GNU tar's --sparse leaves out the holes of a layer."""
    path = tmp_path / "sparse.tar"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as made:
        info = tarfile.TarInfo("manifest.json")
        info.pax_headers = {"GNU.sparse.size": str(1 << 62), "GNU.sparse.map": f"{1 << 62},0"}
        made.addfile(info)
    with pytest.raises(Unsupported, match=r"manifest\.json is a sparse file"):
        opened(str(path))


def test_any_cut_of_an_archive_is_an_error(tmp_path: Path) -> None:
    archive(tmp_path, [ENTRY])
    data = (tmp_path / "archive.tar").read_bytes()
    cut = tmp_path / "cut.tar"
    for size in range(0, len(data) - 1024, 300):
        cut.write_bytes(data[:size])
        try:
            found = opened(str(cut))
        except LaminaError:
            continue
        assert is_equal(found)

"""Reads the outputs of a case of `pairs` with third-party tools, and checks them."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.e2e.test_mount_caches import listing

if TYPE_CHECKING:
    from pathlib import Path

_SUFFIXES = {"gzip": "gzip", "zstd": "zstd", "uncompressed": "tar"}


class Result(NamedTuple):
    """The expected result of a case."""

    based: bool  # on an image or stage that has files
    architectures: tuple[str, ...]
    attested: bool
    compression: str  # as in the output's attribute; "" if any is valid
    epoch: int | None
    rewritten: bool


def check_images(place: str, wanted: Result, folder: Path) -> None:
    """Check every image at a location of skopeo. Raises AssertionError."""
    top = json.loads(_skopeo("inspect", "--raw", *_plain(place), place))
    if "manifests" in top:
        platforms = [entry["platform"]["architecture"] for entry in top["manifests"]]
        attestations = platforms.count("unknown")
        assert attestations == (len(wanted.architectures) if wanted.attested else 0), platforms
        assert [name for name in platforms if name != "unknown"] == list(wanted.architectures)
    else:
        assert not wanted.attested, top
        assert len(wanted.architectures) == 1, top
        if not place.startswith("docker-archive:"):
            _check_layers(top["layers"], wanted)
    for architecture in wanted.architectures:
        # One image of the location as a separate layout, with unpacked layers, because umoci reads
        # nothing else.
        flat = folder / f"flat-{os.urandom(3).hex()}"
        chosen = [f"--override-arch={architecture}", "--insecure-policy", "copy", "-q"]
        source = ["--src-tls-verify=false"] if place.startswith("docker://") else []
        _skopeo(*chosen, *source, "--dest-decompress", place, f"dir:{flat}-dir")
        _skopeo("--insecure-policy", "copy", "-q", f"dir:{flat}-dir", f"oci:{flat}:x")
        config = json.loads(_skopeo("inspect", "--config", f"oci:{flat}:x"))
        assert config["architecture"] == architecture
        _check_config(config, wanted)
        bundle = folder / f"{flat.name}-files"
        subprocess.run(
            ["umoci", "unpack", "--image", f"{flat}:x", str(bundle)],
            check=True,
            capture_output=True,
        )
        _check_tree(bundle / "rootfs", architecture, wanted, owners=True)


def check_files(out: Path, wanted: Result, folder: Path) -> None:
    """Check a directory or an archive of files. Raises AssertionError."""
    owners = out.is_file()
    if owners:
        archive, out = out, folder / f"unpacked-{os.urandom(3).hex()}"
        out.mkdir()
        subprocess.run(["tar", "-xpf", str(archive), "--numeric-owner", "-C", str(out)], check=True)
    for architecture in wanted.architectures:
        split = len(wanted.architectures) > 1
        place = out / f"linux_{architecture}" if split else out
        assert (place / "provenance.json").exists() == wanted.attested, os.listdir(place)
        _check_tree(place, architecture, wanted, owners=owners)


def _check_tree(root: Path, architecture: str, wanted: Result, *, owners: bool) -> None:
    found = listing(root)
    expected: dict[str, tuple[int, int, int, bytes | str]] = {
        "made": (stat.S_IFDIR | 0o755, 0, 0, b""),
        "made/hello.txt": (stat.S_IFREG | 0o644, 0, 0, b"hello\n"),
        "made/sub": (stat.S_IFDIR | 0o750, 12, 34, b""),
        "made/sub/x": (stat.S_IFREG | 0o750, 12, 34, b"x" * 5000),
        "made/out": (stat.S_IFDIR | 0o755, 0, 0, b""),
        "made/out/arch": (stat.S_IFREG | 0o640, 0, 0, f"for {architecture}\n".encode()),
        "made/out/link": (stat.S_IFLNK | 0o777, 0, 0, "arch"),
    }
    if wanted.based:
        expected["base"] = (stat.S_IFDIR | 0o755, 0, 0, b"")
        expected["base/file"] = (stat.S_IFREG | 0o644, 0, 0, b"base\n")
    names = {name for name in found if name not in (".", "./.") and not name.endswith("/.")}
    names.discard("provenance.json")
    assert names == set(expected), f"{sorted(names)} instead of {sorted(expected)}"
    for name, (mode, uid, gid, content) in expected.items():
        got_mode, got_uid, got_gid, mtime, link, data = found[name]
        assert got_mode == mode, f"{name}: mode {got_mode:o} instead of {mode:o}"
        if owners:
            assert (got_uid, got_gid) == (uid, gid), f"{name}: owner {got_uid}:{got_gid}"
        assert (link or data) == content, f"{name}: {link or data!r}"
        if wanted.rewritten and name.startswith("made"):
            assert isinstance(mtime, int)
            assert wanted.epoch is not None
            assert mtime <= wanted.epoch * 10**9, f"{name} is newer than the epoch"


def _check_config(document: dict[str, Any], wanted: Result) -> None:
    config = document["config"]
    environment = dict(entry.split("=", 1) for entry in config["Env"])
    assert environment["WHERE"] == "here", environment
    assert config["Labels"] == {"made": "pairs"}, config
    assert config["WorkingDir"] == "/made", config
    assert config["Cmd"] == ["x"], config
    layers = [entry for entry in document["history"] if not entry.get("empty_layer")]
    assert len(layers) == len(document["rootfs"]["diff_ids"]), document
    if wanted.epoch is not None:
        created = datetime.fromtimestamp(wanted.epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        assert document["created"] == created, document["created"]


def _check_layers(layers: list[dict[str, Any]], wanted: Result) -> None:
    if wanted.compression:
        suffix = _SUFFIXES[wanted.compression.partition(",")[0]]
        assert all(layer["mediaType"].endswith(suffix) for layer in layers), layers


def _plain(place: str) -> list[str]:
    return ["--tls-verify=false"] if place.startswith("docker://") else []


def _skopeo(*args: str) -> bytes:
    done = subprocess.run(["skopeo", *args], capture_output=True, check=False)
    assert done.returncode == 0, f"skopeo {' '.join(args)}: {done.stderr.decode()}"
    return done.stdout

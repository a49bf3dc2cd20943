"""Scans of file systems."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from lamina.refs.tree import Tree
from lamina.sbom.scanner import scan
from lamina.system.cancel import Cancellation

if TYPE_CHECKING:
    from pathlib import Path

    from lamina.sbom.package import Scan


def write(folder: Path, files: dict[str, str]) -> str:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return str(folder)


def scanned(root: str, *layers: str) -> Scan:
    return scan(Tree(root), layers, Cancellation())


def status(*names: str) -> str:
    return "".join(f"Package: {name}\nVersion: 1\n\n" for name in names)


def test_distributions_and_licences(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        {
            "usr/lib/os-release": 'ID=debian\nVERSION_ID="12"\nPRETTY_NAME="Debian 12"\n#x=y\n',
            "var/lib/dpkg/status": status("a", "b"),
            "usr/share/doc/a/copyright": "Format: x\n\nLicense: MIT\n",
        },
    )
    os.makedirs(tmp_path / "etc")
    os.symlink("../usr/lib/os-release", tmp_path / "etc/os-release")
    os.symlink("/usr/share/doc/a", tmp_path / "usr/share/doc/b")
    found = scanned(root)
    assert found.distribution == ("debian", "12", "Debian 12")
    assert [one.package.purl for one in found.packages] == [
        "pkg:deb/debian/a@1?distro=debian-12",
        "pkg:deb/debian/b@1?distro=debian-12",
    ]
    # Links are followed in the file system.
    assert [one.package.licences for one in found.packages] == [("MIT",), ("MIT",)]
    assert found.packages[0].evidence.path == "/var/lib/dpkg/status"
    assert found.packages[0].layer is None


def test_the_layer_that_introduced_a_package(tmp_path: Path) -> None:
    name = "var/lib/dpkg/status"
    layers = [
        write(tmp_path / "0", {name: status("base", "again")}),
        write(tmp_path / "1", {"app/node_modules/x/package.json": '{"name":"x","version":"1"}'}),
        write(tmp_path / "2", {name: status("base")}),
        write(tmp_path / "3", {name: status("base", "again", "new")}),
    ]
    write(tmp_path / "all", {name: status("base", "again", "new")})
    root = write(
        tmp_path / "all", {"app/node_modules/x/package.json": '{"name":"x","version":"1"}'}
    )
    found = {one.package.name: one.layer for one in scanned(root, *layers).packages}
    assert found == {"base": 0, "x": 1, "again": 3, "new": 3}


def test_what_cannot_be_read_is_a_problem(tmp_path: Path) -> None:
    root = write(tmp_path, {"opt/x.jar": "no archive", "node_modules/a/package.json": "{"})
    os.mkfifo(tmp_path / "fifo.jar")
    os.symlink("/etc/passwd", tmp_path / "link.jar")
    found = scanned(root)
    assert found.packages == ()
    assert sorted(path for path, _ in found.problems) == [
        "/node_modules/a/package.json",
        "/opt/x.jar",
    ]

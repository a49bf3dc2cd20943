"""Databases that rpm itself writes, in each of its formats."""

from __future__ import annotations

import io
import struct
import subprocess
from typing import TYPE_CHECKING

import pytest

from lamina.sbom.readers import reader_of

if TYPE_CHECKING:
    from pathlib import Path

    from lamina.sbom.package import Package

_SPEC = """Name: {name}
Version: 1.2
Release: 3
{epoch}Summary: A package
License: MIT and GPLv2+
Vendor: Example
BuildArch: noarch
%description
%files
"""


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("rpm")
    for name, epoch in (("first", ""), ("second", "Epoch: 4\n")):
        (folder / f"{name}.spec").write_text(_SPEC.format(name=name, epoch=epoch))
        subprocess.run(
            ["rpmbuild", "-bb", "-D", f"_topdir {folder}", str(folder / f"{name}.spec")],
            check=True,
            capture_output=True,
        )
    return sorted((folder / "RPMS").rglob("*.rpm"))


def installed(packages: list[Path], folder: Path) -> None:
    subprocess.run(
        ["rpm", "-i", "--justdb", "--nodeps", "--root", "/", "--dbpath", str(folder)]
        + [str(package) for package in packages],
        check=True,
        capture_output=True,
    )


def read(path: str, data: bytes) -> list[Package]:
    file = reader_of(path, 0o100644, len(data))
    assert file is not None
    assert file.database
    return sorted(file.read(io.BytesIO(data)))


EXPECTED = [
    "pkg:rpm/first@1.2-3?arch=noarch&upstream=first-1.2-3.src.rpm",
    "pkg:rpm/second@1.2-3?arch=noarch&epoch=4&upstream=second-1.2-3.src.rpm",
]


def test_sqlite(packages: list[Path], tmp_path: Path) -> None:
    installed(packages, tmp_path)
    path = "usr/lib/sysimage/rpm/rpmdb.sqlite"
    found = read(path, (tmp_path / "rpmdb.sqlite").read_bytes())
    assert [package.purl for package in found] == EXPECTED
    assert found[0].licences == ("MIT and GPLv2+",)
    assert found[0].supplier == "Example"


def test_ndb(packages: list[Path], tmp_path: Path) -> None:
    # Debian's rpm does not write this format.
    slots, blobs = b"", b""
    for number, header in enumerate(headers(packages, tmp_path), 1):
        blob = struct.pack("<4sIII", b"BlbS", number, 1, len(header)) + header + bytes(12)
        blob = blob.ljust(-(-len(blob) // 16) * 16, b"\0")
        block = (4096 + len(blobs)) // 16
        slots += struct.pack("<4sIII", b"Slot", number, block, len(blob) // 16)
        blobs += blob
    head = struct.pack("<4s4I12x", b"RpmP", 0, 1, 1, 3)
    page = head + slots
    page += b"Slot".ljust(16, b"\0") * ((4096 - len(page)) // 16)
    assert [package.purl for package in read("var/lib/rpm/Packages.db", page + blobs)] == EXPECTED
    for cut in (10, 4000, len(page) + 9, len(page + blobs) // 2):
        with pytest.raises(ValueError, match=r"Packages\.db"):
            read("var/lib/rpm/Packages.db", (page + blobs)[:cut])


def headers(packages: list[Path], folder: Path) -> list[bytes]:
    """The headers in a database in SQLite's format."""
    import sqlite3
    from contextlib import closing

    installed(packages, folder)
    with closing(sqlite3.connect(folder / "rpmdb.sqlite")) as connection:
        return [blob for (blob,) in connection.execute("SELECT blob FROM Packages")]


@pytest.mark.parametrize("page", [512, 4096, 65536])
def test_berkeley_db(packages: list[Path], tmp_path: Path, page: int) -> None:
    # rpm does not write this format any more, but Berkeley DB's tools do.
    entries = {bytes(4): b"\2\0\0\0"}
    for number, header in enumerate(headers(packages, tmp_path), 1):
        entries[number.to_bytes(4, "little")] = header
    dump = "".join(f" {key.hex()}\n {value.hex()}\n" for key, value in entries.items())
    head = f"VERSION=3\nformat=bytevalue\ntype=hash\ndb_pagesize={page}\nHEADER=END\n"
    path = tmp_path / "Packages"
    subprocess.run(
        ["db5.3_load", str(path)], input=f"{head}{dump}DATA=END\n", text=True, check=True
    )
    data = path.read_bytes()
    assert [package.purl for package in read("var/lib/rpm/Packages", data)] == EXPECTED
    for cut in (600, len(data) // 2, len(data) - 1):
        with pytest.raises(ValueError, match="Packages"):
            read("var/lib/rpm/Packages", data[:cut])


@pytest.mark.parametrize("name", ["Packages", "Packages.db", "rpmdb.sqlite"])
def test_other_files(name: str) -> None:
    for data in (b"", bytes(5000), b"RpmP" + b"\xff" * 5000):
        with pytest.raises(ValueError, match=r"Packages|rpmdb"):
            read(f"var/lib/rpm/{name}", data)

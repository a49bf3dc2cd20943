"""Lists of packages in the formats of their managers."""

from __future__ import annotations

import sqlite3
import struct
import subprocess
from importlib import metadata
from pathlib import Path

import pytest

from lamina.imagediff.compare import compare_images
from lamina.imagediff.files import Package, PackageList
from lamina.imagediff.packages import package_reader
from lamina.imagediff.result import Options
from lamina.system.cancel import Cancellation
from tests.imagediff.memory_image import Member, file, image, link


def read(path: str, data: bytes, chunk: int = 1 << 18) -> PackageList | None:
    reader = package_reader(path, len(data))
    if reader is None:
        return None
    for at in range(0, len(data), chunk):
        reader.feed(data[at : at + chunk])
    return reader.finish()


def versions(path: str, text: str) -> dict[str, str]:
    found = read(path, text.encode())
    assert found is not None
    assert not found.problem
    return {package.name: package.version for package in found.packages}


def test_dpkg_as_dpkg_lists_them() -> None:
    status = Path("/var/lib/dpkg/status").read_bytes()
    found = read("var/lib/dpkg/status", status)
    assert found is not None
    listed = subprocess.run(
        ["dpkg-query", "-W", "-f", "${db:Status-Status}\t${Package}\t${Version}\n"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    rows = [line.split("\t") for line in listed.splitlines()]
    expected = {(name, version) for status, name, version in rows if status == "installed"}
    assert {(package.name, package.version) for package in found.packages} == expected


def test_dpkg_in_single_files_and_removed_packages() -> None:
    text = "Package: base-files\nVersion: 12.4\nDescription: x\n Version: 9\n"
    assert versions("var/lib/dpkg/status.d/base", text) == {"base-files": "12.4"}
    assert read("var/lib/dpkg/status.d/base.md5sums", text.encode()) is None
    removed = "Package: a\nStatus: deinstall ok config-files\nVersion: 1\n\n"
    kept = "Package: b\nStatus: install ok installed\nVersion: 2\n\n\nPackage: c\n"
    assert versions("var/lib/dpkg/status", removed + kept) == {"b": "2"}


@pytest.mark.parametrize("folder", ["lib", "usr/lib"])
def test_apk(folder: str) -> None:
    text = "C:Q1x=\nP:musl\nV:1.2.4-r2\nA:x86_64\nF:lib\nR:ld.so\n\nC:Q1y=\nP:zlib\nV:1.3-r0\n\n"
    assert versions(f"{folder}/apk/db/installed", text) == {"musl": "1.2.4-r2", "zlib": "1.3-r0"}


def test_python_as_importlib_lists_them() -> None:
    for distribution in metadata.distributions():
        text = distribution.read_text("METADATA")
        if text is not None:
            name = distribution.name.lower().replace("_", "-").replace(".", "-")
            path = "usr/lib/python3/x.dist-info/METADATA"
            assert versions(path, text) == {name: distribution.version}
    text = "Metadata-Version: 2.1\nName: A_b.C\nVersion: 1\n\nVersion: 2\n"
    assert versions("x.egg-info/PKG-INFO", text) == {"a-b-c": "1"}


def test_node() -> None:
    text = '{"name": "@scope/lib", "version": "1.2.3"}'
    assert versions("app/node_modules/@scope/lib/package.json", text) == {"@scope/lib": "1.2.3"}
    assert versions("node_modules/lib/package.json", text) == {"@scope/lib": "1.2.3"}
    assert read("app/package.json", text.encode()) is None
    assert read("node_modules/lib/test/package.json", text.encode()) is None
    assert versions("node_modules/lib/package.json", '{"type": "module"}') == {}


@pytest.mark.parametrize("program", ["/usr/bin/skopeo", "/usr/bin/umoci"])
@pytest.mark.parametrize("chunk", [1 << 18, 4099])
def test_go_programs(program: str, chunk: int) -> None:
    found = read(program[1:], Path(program).read_bytes(), chunk)
    assert found is not None
    ((manager, name, version),) = found.packages  # Debian builds without modules
    assert (manager, name, version[:2]) == ("go", "stdlib", "1.")


def test_other_programs_and_what_only_looks_like_build_information() -> None:
    assert read("bin/busybox", Path("/bin/busybox").read_bytes()) is None
    magic = b"\xff Go buildinf:"
    constants = b"\x7fELF" + (magic + b"\x08\x02" + bytes(16) + b"\xff" * 9) * 9000
    assert read("bin/x", constants) is None
    replaced = b"go1.22.1"
    modules = (
        bytes(16)
        + b"path\tx\nmod\texample.com/x\t(devel)\t\n"
        + b"dep\ta\tv1\th1:\n=>\tb\tv2\th1:\ndep\tc\tv3\th1:\n"
        + bytes(16)
    )
    length = bytes((len(modules),))
    true = magic + b"\x08\x02" + bytes(16) + bytes((len(replaced),)) + replaced + length + modules
    found = read("bin/x", constants + true + bytes(100), 1000)
    assert found is not None
    assert found.packages == (
        Package("go", "stdlib", "1.22.1"),
        Package("go", "example.com/x", "(devel)"),
        Package("go", "b", "v2"),
        Package("go", "c", "v3"),
    )


def rpm_header(name: str, version: str, release: str, epoch: int | None = None) -> bytes:
    data = b""
    index = b""
    for tag, value in ((1000, name), (1001, version), (1002, release)):
        index += struct.pack(">IIII", tag, 6, len(data), 1)
        data += value.encode() + b"\0"
    if epoch is not None:
        data += bytes(-len(data) % 4)
        index += struct.pack(">IIII", 1003, 4, len(data), 1)
        data += struct.pack(">I", epoch)
    return struct.pack(">II", len(index) // 16, len(data)) + index + data


def rpm_database(*blobs: bytes, schema: str = "") -> bytes:
    connection = sqlite3.connect(":memory:")
    connection.execute(
        schema or "CREATE TABLE Packages (hnum INTEGER PRIMARY KEY AUTOINCREMENT, blob BLOB)"
    )
    if not schema:
        connection.executemany("INSERT INTO Packages (blob) VALUES (?)", [(b,) for b in blobs])
    connection.commit()
    return connection.serialize()


RPM = "var/lib/rpm/rpmdb.sqlite"


def test_rpm_in_sqlite() -> None:
    data = rpm_database(rpm_header("bash", "5.1", "9.el9"), rpm_header("vim", "9.0", "1", 2))
    logged = bytearray(data)
    logged[18:20] = b"\2\2"  # like a database with a write-ahead log
    for database in (data, bytes(logged)):
        found = read(RPM, database)
        assert found == PackageList(
            (Package("rpm", "bash", "5.1-9.el9"), Package("rpm", "vim", "2:9.0-1"))
        )


ENDLESS = (
    "CREATE VIEW Packages AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i FROM n)"
    " SELECT i AS blob FROM n"
)


@pytest.mark.parametrize(
    ("path", "data", "problem"),
    [
        (RPM, b"no database", "damaged"),
        (RPM, rpm_database(schema=ENDLESS), "no table Packages"),
        (RPM, rpm_database(schema="CREATE TABLE other (a)"), "no table Packages"),
        (RPM, rpm_database(schema="CREATE TABLE Packages (a)"), "damaged"),
        (RPM, rpm_database(b"short"), "malformed header"),
        (RPM, rpm_database(rpm_header("a", "1", "2")[:-4]), "truncated header"),
        (RPM, rpm_database(b"\xff" * 64), "truncated header"),
        ("var/lib/rpm/Packages", bytes(100), "not a hash table of Berkeley DB"),
        ("node_modules/a/package.json", b"{", "malformed package.json"),
        ("node_modules/a/package.json", b'{"name": 1, "version": 2}', "is not a string"),
        ("node_modules/a/package.json", b" " * (1 << 21), "more than 1048576 bytes"),
    ],
)
def test_lists_that_cannot_be_read_are_problems_and_no_errors(
    path: str, data: bytes, problem: str
) -> None:
    found = read(path, data)
    assert found is not None
    assert found.packages == ()
    assert problem in found.problem


def status(**packages: str) -> Member:
    entries = (f"Package: {name}\nVersion: {version}\n\n" for name, version in packages.items())
    return file("var/lib/dpkg/status", "".join(entries))


def test_packages_of_images() -> None:
    node = '{"name": "left-pad", "version": "%s"}'
    before = image(
        [
            status(libc="1", gone="1", same="1"),
            file("a/node_modules/left-pad/package.json", node % "1"),
        ]
    )
    after = image(
        [status(libc="1")],
        [
            status(libc="2", new="1", same="1"),
            file("a/node_modules/left-pad/package.json", node % "1"),
            file("b/node_modules/left-pad/package.json", node % "2"),
            file("var/lib/rpm/Packages"),
            link("node_modules", "a/node_modules"),
        ],
    )
    diff = compare_images(before, after, Options(), Cancellation())
    assert [tuple(change) for change in diff.packages] == [
        ("dpkg", "gone", ("1",), ()),
        ("dpkg", "libc", ("1",), ("2",)),
        ("dpkg", "new", (), ("1",)),
        ("node", "left-pad", ("1",), ("1", "2")),
    ]
    ((name, reason),) = diff.problems
    assert name == "image"
    assert reason == "Packages is not a hash table of Berkeley DB"

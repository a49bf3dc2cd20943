"""Chooses how to read a file that can list packages, by its path.

| package URL | files |
|---|---|
| deb | `var/lib/dpkg/status`, `var/lib/dpkg/status.d/*` |
| apk | `lib/apk/db/installed`, `usr/lib/apk/db/installed` |
| rpm | `rpmdb.sqlite`, `Packages.db`, `Packages` in `var/lib/rpm` or `usr/lib/sysimage/rpm` |
| pypi | `*.dist-info/METADATA`, `*.egg-info/PKG-INFO` |
| npm | `node_modules/NAME/package.json` |
| composer | `vendor/composer/installed.json` |
| gem | `specifications/*.gemspec` |
| maven | Java archives |
| golang, cargo | executables with build information |
"""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

from lamina.base.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from lamina.sbom.package import Package

    Parse = Callable[[bytes], Iterable[Package]]
    ReadFile = Callable[[BinaryIO], Iterable[Package]]

DPKG = "var/lib/dpkg/status"
_APK = ("lib/apk/db/installed", "usr/lib/apk/db/installed")
_RPM_FOLDERS = ("var/lib/rpm", "usr/lib/sysimage/rpm")
_RPM = tuple(f"{folder}/rpmdb.sqlite" for folder in _RPM_FOLDERS)
_RPM_NDB = tuple(f"{folder}/Packages.db" for folder in _RPM_FOLDERS)
_RPM_BDB = tuple(f"{folder}/Packages" for folder in _RPM_FOLDERS)
_DATABASE_LIMIT = 256 << 20
_METADATA_LIMIT = 16 << 20
_SECTION_LIMIT = 16 << 20
_SMALLEST_EXECUTABLE = 1 << 12


class PackageFile(NamedTuple):
    """How to read a file. `database`: it lists all packages of a manager, so that a layer which
    adds a package has all others too."""

    read: ReadFile
    database: bool = False


def reader_of(path: str, mode: int, size: int) -> PackageFile | None:
    """How to read a regular file, None if it lists no packages. `path` is relative and clean."""
    if (parse := parser_of(path)) is not None:
        database = path.startswith(("var/", "lib/", "usr/lib/")) and _is_database(path)
        return PackageFile(_whole(parse, path, size, _limit(database)), database)
    from lamina.sbom.parsers import java

    name = path.rpartition("/")[2]
    if name.endswith(java.ARCHIVES):
        return PackageFile(lambda file: java.read_archive(file, name))
    if mode & 0o111 and size >= _SMALLEST_EXECUTABLE:
        return PackageFile(_executable)
    return None


def parser_of(path: str) -> Parse | None:
    """The parser of a file that is read as a whole, None for other files."""
    if _is_database(path):
        return _database_parser(path)
    if path.endswith((".dist-info/METADATA", ".egg-info/PKG-INFO")):
        from lamina.sbom.parsers.python import read_metadata

        return read_metadata
    if path.endswith("/package.json"):
        from lamina.sbom.parsers import npm

        return npm.read_package_json if npm.INSTALLED.search(path) else None
    if path.endswith("vendor/composer/installed.json"):
        from lamina.sbom.parsers import php

        return php.read_installed
    if path.endswith(".gemspec"):
        from lamina.sbom.parsers import ruby

        return ruby.read_gemspec if ruby.INSTALLED.search(path) else None
    return None


def _is_database(path: str) -> bool:
    return path == DPKG or path in (*_APK, *_RPM, *_RPM_NDB, *_RPM_BDB) or _is_distroless(path)


def _is_distroless(path: str) -> bool:
    return path.startswith(f"{DPKG}.d/") and not path.endswith(".md5sums")


def _database_parser(path: str) -> Parse:
    if path in _APK:
        from lamina.sbom.parsers.alpine import read_installed

        return read_installed
    if path == DPKG or _is_distroless(path):
        from lamina.sbom.parsers.debian import read_status

        return read_status
    if path in _RPM:
        from lamina.sbom.parsers.rpm_sqlite import read_database
    elif path in _RPM_NDB:
        from lamina.sbom.parsers.rpm_ndb import read_database
    else:
        from lamina.sbom.parsers.rpm_bdb import read_database
    from lamina.sbom.parsers.rpm_header import is_software

    return lambda data: filter(is_software, read_database(data))


def _limit(database: bool) -> int:
    return _DATABASE_LIMIT if database else _METADATA_LIMIT


def _whole(parse: Parse, path: str, size: int, limit: int) -> ReadFile:
    def read(file: BinaryIO) -> Iterable[Package]:
        if size > limit:
            raise ValueError(f"{path} has more than {limit} bytes")
        return parse(file.read(limit + 1))

    return read


def _executable(file: BinaryIO) -> Iterator[Package]:
    from lamina.sbom.parsers import go, rust
    from lamina.sbom.parsers.elf import MAGIC, read_section, read_sections

    if file.read(4) != MAGIC:
        return
    sections = read_sections(file)
    if (place := sections.get(go.SECTION)) is not None:
        yield from go.read_section(read_section(file, place, _SECTION_LIMIT))
    if (place := sections.get(rust.SECTION)) is not None:
        yield from rust.read_dependencies(read_section(file, place, _SECTION_LIMIT))

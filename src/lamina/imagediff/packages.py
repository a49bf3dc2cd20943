"""Finds the packages that the files of an image list.

| manager | files |
|---|---|
| dpkg | `var/lib/dpkg/status`, `var/lib/dpkg/status.d/*` |
| apk | `lib/apk/db/installed`, `usr/lib/apk/db/installed` |
| rpm | `rpmdb.sqlite` in `var/lib/rpm` or `usr/lib/sysimage/rpm` |
| python | `*.dist-info/METADATA`, `*.egg-info/PKG-INFO` |
| node | `node_modules/NAME/package.json` |
| go | executables with Go's build information |
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Protocol

from lamina.base.errors import LaminaError
from lamina.base.json_document import load_json_object, text
from lamina.imagediff.files import Package, PackageList

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_NODE = re.compile(r"(?:^|/)node_modules/(?:@[^/]+/)?[^/]+/package\.json\Z")
_SEPARATORS = re.compile(r"[-_.]+")
_DPKG = "var/lib/dpkg/status"
_APK = ("lib/apk/db/installed", "usr/lib/apk/db/installed")
_RPM = tuple(f"{folder}/rpmdb.sqlite" for folder in ("var/lib/rpm", "usr/lib/sysimage/rpm"))
_RPM_OTHER = tuple(
    f"{folder}/{name}"
    for folder in ("var/lib/rpm", "usr/lib/sysimage/rpm")
    for name in ("Packages", "Packages.db")
)
_DATABASE_LIMIT = 128 << 20
_METADATA_LIMIT = 1 << 20
_SMALLEST_EXECUTABLE = 1 << 12


class PackageReader(Protocol):
    """Takes the content of a file in chunks."""

    def feed(self, chunk: bytes, /) -> None: ...

    def finish(self) -> PackageList | None:
        """The packages of the file; None if it is not a list of packages after all."""
        ...


def package_reader(path: str, size: int) -> PackageReader | None:
    """A reader for a file of an image, None if the file cannot list packages."""
    name = path.rpartition("/")[2]
    if path == _DPKG or (path.startswith(f"{_DPKG}.d/") and not name.endswith(".md5sums")):
        return _WholeFile(_dpkg, _DATABASE_LIMIT, size)
    if path in _APK:
        return _WholeFile(_apk, _DATABASE_LIMIT, size)
    if path in _RPM:
        return _WholeFile(_rpm, _DATABASE_LIMIT, size)
    if path in _RPM_OTHER:
        return _Unreadable(f"{path}: only rpm databases in SQLite's format can be read")
    if path.endswith((".dist-info/METADATA", ".egg-info/PKG-INFO")):
        return _WholeFile(_python, _METADATA_LIMIT, size)
    if name == "package.json" and _NODE.search(path):
        return _WholeFile(_node, _METADATA_LIMIT, size)
    if size >= _SMALLEST_EXECUTABLE:
        from lamina.imagediff.go_binary import GoBinaryReader

        return GoBinaryReader()
    return None


class _Unreadable:
    def __init__(self, problem: str) -> None:
        self._problem = problem

    def feed(self, chunk: bytes, /) -> None:
        pass

    def finish(self) -> PackageList:
        return PackageList(problem=self._problem)


class _WholeFile:
    """Collects a file, and parses it at its end."""

    def __init__(self, parse: Callable[[bytes], Iterator[Package]], limit: int, size: int) -> None:
        self._parse = parse
        self._limit = limit
        self._size = size
        self._data = bytearray()

    def feed(self, chunk: bytes, /) -> None:
        if self._size <= self._limit:
            self._data += chunk

    def finish(self) -> PackageList:
        if self._size > self._limit:
            return PackageList(problem=f"a list of packages has more than {self._limit} bytes")
        try:
            return PackageList(tuple(self._parse(bytes(self._data))))
        except LaminaError as error:
            return PackageList(problem=error.reason)
        except ValueError as error:
            return PackageList(problem=str(error))


def _paragraphs(data: bytes, separator: str = ":") -> Iterator[dict[str, str]]:
    """Fields of paragraphs that empty lines end. Continued lines are left out."""
    fields: dict[str, str] = {}
    for line in data.decode("utf-8", "replace").split("\n"):
        line = line.rstrip("\r")
        if not line:
            if fields:
                yield fields
            fields = {}
        elif line[0] not in " \t":
            name, colon, value = line.partition(separator)
            if colon:
                fields.setdefault(name, value.strip())
    if fields:
        yield fields


def _dpkg(data: bytes) -> Iterator[Package]:
    for fields in _paragraphs(data):
        status = fields.get("Status")  # files of status.d have none
        name, version = fields.get("Package"), fields.get("Version")
        if name and version and (status is None or status.split()[-1:] == ["installed"]):
            yield Package("dpkg", name, version)


def _apk(data: bytes) -> Iterator[Package]:
    for fields in _paragraphs(data):
        name, version = fields.get("P"), fields.get("V")
        if name and version:
            yield Package("apk", name, version)


def _rpm(data: bytes) -> Iterator[Package]:
    from lamina.imagediff.rpm_database import rpm_packages

    return rpm_packages(data)


def _python(data: bytes) -> Iterator[Package]:
    for fields in _paragraphs(data):
        name, version = fields.get("Name"), fields.get("Version")
        if name and version:
            # Names are compared as package indexes do.
            yield Package("python", _SEPARATORS.sub("-", name).lower(), version)
        return  # the rest is the description


def _node(data: bytes) -> Iterator[Package]:
    document = load_json_object(data.removeprefix(b"\xef\xbb\xbf"), "package.json")
    name, version = text(document.get("name")), text(document.get("version"))
    if name and version:
        yield Package("node", name, version)

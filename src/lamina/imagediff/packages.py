"""Finds the packages that the files of an image list, as they pass.

`lamina.sbom` parses them. Java archives are not read, because they need random access.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from lamina.base.errors import LaminaError
from lamina.imagediff.files import PackageList, as_compared
from lamina.sbom.readers import parser_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from lamina.sbom.package import Package as InstalledPackage

_DATABASES = ("var/lib/", "lib/apk/", "usr/lib/apk/", "usr/lib/sysimage/")
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
    if (parse := parser_of(path)) is not None:
        limit = _DATABASE_LIMIT if path.startswith(_DATABASES) else _METADATA_LIMIT
        return _WholeFile(parse, limit, size)
    if size >= _SMALLEST_EXECUTABLE:
        from lamina.imagediff.go_binary import GoBinaryReader

        return GoBinaryReader()
    return None


class _WholeFile:
    """Collects a file, and parses it at its end."""

    def __init__(
        self, parse: Callable[[bytes], Iterable[InstalledPackage]], limit: int, size: int
    ) -> None:
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
            return PackageList(tuple(map(as_compared, self._parse(bytes(self._data)))))
        except LaminaError as error:
            return PackageList(problem=error.reason)
        except ValueError as error:
            return PackageList(problem=str(error))

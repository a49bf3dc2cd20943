"""Finds the build information in Go executables as their content passes."""

from __future__ import annotations

from lamina.imagediff.files import PackageList, as_compared
from lamina.sbom.parsers.go import MAGIC, Incomplete, read_build_information

_ELF = b"\x7fELF"


class GoBinaryReader:
    """Searches the content of a file as it passes. Implements `PackageReader`."""

    def __init__(self) -> None:
        self._started = False
        self._done = False
        self._tail = b""
        self._packages: PackageList | None = None

    def feed(self, chunk: bytes, /) -> None:
        if self._done:
            return
        if not self._started:
            # The first chunk of a file of this size is longer than the magic number.
            self._started = True
            if not chunk.startswith(_ELF):
                self._done = True
                return
        data = self._tail + chunk
        at = data.find(MAGIC)
        while at >= 0:
            try:
                found = read_build_information(data, at)
            except Incomplete:
                self._tail = data[at:]
                return
            if found is not None:
                self._done, self._tail = True, b""
                self._packages = PackageList(tuple(map(as_compared, found)))
                return
            at = data.find(MAGIC, at + 1)
        self._tail = data[-len(MAGIC) + 1 :]

    def finish(self) -> PackageList | None:
        return self._packages

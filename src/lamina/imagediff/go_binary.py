"""Finds the build information in Go executables (`debug/buildinfo`, Go 1.18 and later)."""

from __future__ import annotations

from lamina.imagediff.files import Package, PackageList

_ELF = b"\x7fELF"
_MAGIC = b"\xff Go buildinf:"
_HEADER = 32
_INLINE = 2
"""The flag of a header that the two strings follow, with their lengths."""
_VERSION_LIMIT = 256
_MODULES_LIMIT = 4 << 20
_MARK = 16
"""The number of bytes that mark the start, and the end, of the modules' text."""


class _Incomplete(Exception):
    """The data ends before the build information does."""


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
        at = data.find(_MAGIC)
        while at >= 0:
            try:
                found = _build_information(data, at)
            except _Incomplete:
                self._tail = data[at:]
                return
            if found is not None:
                self._done, self._tail = True, b""
                self._packages = PackageList(tuple(_packages(*found)))
                return
            at = data.find(_MAGIC, at + 1)
        self._tail = data[-len(_MAGIC) + 1 :]

    def finish(self) -> PackageList | None:
        return self._packages


def _build_information(data: bytes, at: int) -> tuple[bytes, bytes] | None:
    """The version of Go and the text of the modules; None if the magic number is only a constant.

    Raises _Incomplete.
    """
    if at + _HEADER > len(data):
        raise _Incomplete
    if not data[at + 15] & _INLINE:
        return None
    version = _string(data, at + _HEADER, _VERSION_LIMIT)
    if version is None or not version[0].startswith((b"go1", b"devel")):
        return None
    modules = _string(data, version[1], _MODULES_LIMIT)
    return None if modules is None else (version[0], modules[0])


def _string(data: bytes, at: int, limit: int) -> tuple[bytes, int] | None:
    """A string after its length (varint), and where it ends; None if it is longer than `limit`.

    Raises _Incomplete.
    """
    length = 0
    for shift in range(0, 28, 7):
        if at >= len(data):
            raise _Incomplete
        byte = data[at]
        at += 1
        length |= (byte & 0x7F) << shift
        if byte < 0x80:
            break
    else:
        return None
    if length > limit:
        return None
    if at + length > len(data):
        raise _Incomplete
    return data[at : at + length], at + length


def _packages(version: bytes, modules: bytes) -> list[Package]:
    found = [Package("go", "stdlib", _text(version.split(b" ")[0]).removeprefix("go"))]
    if len(modules) > 2 * _MARK and modules[-_MARK - 1 : -_MARK] == b"\n":
        for line in modules[_MARK:-_MARK].split(b"\n"):
            kind, *fields = line.split(b"\t")
            if kind in (b"mod", b"dep") and len(fields) >= 2:
                found.append(Package("go", _text(fields[0]), _text(fields[1])))
            elif kind == b"=>" and len(fields) >= 2 and len(found) > 1:
                found[-1] = Package("go", _text(fields[0]), _text(fields[1]))
    return found


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")

"""Go: the build information in executables (`debug/buildinfo`, Go 1.18 and later)."""

from __future__ import annotations

from lamina.sbom.package import Package

SECTION = ".go.buildinfo"
MAGIC = b"\xff Go buildinf:"
_HEADER = 32
_INLINE = 2
"""The flag of a header that the two strings follow, with their lengths."""
_VERSION_LIMIT = 256
_MODULES_LIMIT = 4 << 20
_MARK = 16
"""The number of bytes that mark the start, and the end, of the modules' text."""


class Incomplete(Exception):
    """The data ends before the build information does."""


def read_build_information(data: bytes, at: int) -> list[Package] | None:
    """The packages of the build information at an offset; None if the magic number there is only
    a constant.

    Raises Incomplete.
    """
    if at + _HEADER > len(data):
        raise Incomplete
    if not data[at + 15] & _INLINE:
        return None
    version = _string(data, at + _HEADER, _VERSION_LIMIT)
    if version is None or not version[0].startswith((b"go1", b"devel")):
        return None
    modules = _string(data, version[1], _MODULES_LIMIT)
    return None if modules is None else _packages(version[0], modules[0])


def read_section(data: bytes) -> list[Package]:
    """The packages of the section `.go.buildinfo`. Raises ValueError if it is malformed."""
    at = data.find(MAGIC)
    try:
        return (read_build_information(data, at) if at >= 0 else None) or []
    except Incomplete:
        raise ValueError("the build information of Go is truncated") from None


def _string(data: bytes, at: int, limit: int) -> tuple[bytes, int] | None:
    """A string after its length (varint), and where it ends; None if it is longer than `limit`.

    Raises Incomplete.
    """
    length = 0
    for shift in range(0, 28, 7):
        if at >= len(data):
            raise Incomplete
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
        raise Incomplete
    return data[at : at + length], at + length


def _packages(version: bytes, modules: bytes) -> list[Package]:
    found = [Package("golang", "stdlib", _text(version.split(b" ")[0]).removeprefix("go"))]
    if len(modules) > 2 * _MARK and modules[-_MARK - 1 : -_MARK] == b"\n":
        for line in modules[_MARK:-_MARK].split(b"\n"):
            kind, *fields = line.split(b"\t")
            if kind in (b"mod", b"dep") and len(fields) >= 2:
                found.append(_module(fields))
            elif kind == b"=>" and len(fields) >= 2 and len(found) > 1:
                found[-1] = _module(fields)
    return found


def _module(fields: list[bytes]) -> Package:
    namespace, _, name = _text(fields[0]).rpartition("/")
    return Package("golang", name, _text(fields[1]), namespace)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")

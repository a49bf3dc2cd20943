"""rpm's own database format, `Packages.db` (rpm's `lib/backend/ndb/rpmpkg.c`).

The file starts with pages of slots of 16 bytes. The first two hold the header of the file. Each
other one that is used gives the number of a package, and the block of 16 bytes where its header
is.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from lamina.sbom.parsers.rpm_header import read_header

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lamina.sbom.package import Package

_NAME = "Packages.db"
_HEADER, _SLOT, _BLOB = b"RpmP", b"Slot", b"BlbS"
_PAGE = 4096
_BLOCK = 16


def read_database(data: bytes) -> Iterator[Package]:
    """The packages of a database. Raises ValueError if it is malformed."""
    if len(data) < 2 * _BLOCK or data[:4] != _HEADER:
        raise ValueError(f"{_NAME} has no header")
    (pages,) = struct.unpack_from("<I", data, 12)
    if pages * _PAGE > len(data):
        raise ValueError(f"{_NAME} is truncated")
    for at in range(2 * _BLOCK, pages * _PAGE, _BLOCK):
        magic, number, block, _ = struct.unpack_from("<4sIII", data, at)
        if magic != _SLOT:
            raise ValueError(f"{_NAME} contains a malformed slot")
        if block:
            yield read_header(_blob(data, block * _BLOCK, number), _NAME)


def _blob(data: bytes, at: int, number: int) -> bytes:
    if at + _BLOCK > len(data):
        raise ValueError(f"{_NAME} is truncated")
    magic, found, _, size = struct.unpack_from("<4sIII", data, at)
    start = at + _BLOCK
    if magic != _BLOB or found != number or start + size > len(data):
        raise ValueError(f"{_NAME} contains a malformed package")
    return data[start : start + size]

"""rpm's database in the format of Berkeley DB, `Packages`: a hash table of headers by number.

Pages have a header of 26 bytes and, in hash pages, the offsets of keys and values in turn. Headers
are mostly longer than a page, and then their value names the first page of a chain
(Berkeley DB 5.3, `dbinc/db_page.h`).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from lamina.base.named_tuple import NamedTuple
from lamina.sbom.parsers.rpm_header import read_header

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lamina.sbom.package import Package

_NAME = "Packages"
_HASH = 0x061561
_PAGE_HEADER = 26
_UNSORTED, _OVERFLOW, _SORTED = 2, 7, 13  # types of pages
_IN_PAGE, _OFF_PAGE = 1, 3  # types of items
_SMALLEST_PAGE, _LARGEST_PAGE = 512, 64 << 10
_SMALLEST_HEADER = 32
"""The table also has an item of four bytes: the highest number of a package."""


class _Pages(NamedTuple):
    """The pages of a database in the byte order `order` of `struct`. `last` is the last number."""

    data: bytes
    order: str
    size: int
    last: int

    def header(self, number: int) -> tuple[int, int, int, int]:
        """The next page, the number of items, the offset of free space, and the type."""
        start = number * self.size
        if start + self.size > len(self.data):
            raise ValueError(f"{_NAME} is truncated")
        following, items, free, _, kind = struct.unpack_from(
            f"{self.order}IHHBB", self.data, start + 16
        )
        return following, items, free, kind


def read_database(data: bytes) -> Iterator[Package]:
    """The packages of a database. Raises ValueError if it is malformed."""
    pages = _opened(data)
    for number in range(1, pages.last + 1):
        _, items, _, kind = pages.header(number)
        if kind not in (_UNSORTED, _SORTED):
            continue
        start = number * pages.size
        if _PAGE_HEADER + 2 * items > pages.size:
            raise ValueError(f"{_NAME} contains a malformed page")
        offsets = struct.unpack_from(f"{pages.order}{items}H", data, start + _PAGE_HEADER)
        for index in range(1, items, 2):
            value = _value(pages, start, offsets[index], offsets[index - 1])
            if len(value) >= _SMALLEST_HEADER:
                yield read_header(value, _NAME)


def _opened(data: bytes) -> _Pages:
    for order in "<>":
        if len(data) >= _SMALLEST_PAGE:
            magic, _, size = struct.unpack_from(f"{order}III", data, 12)
            (last,) = struct.unpack_from(f"{order}I", data, 32)
            if magic == _HASH and _SMALLEST_PAGE <= size <= _LARGEST_PAGE:
                return _Pages(data, order, size, last)
    raise ValueError(f"{_NAME} is not a hash table of Berkeley DB")


def _value(pages: _Pages, start: int, offset: int, end: int) -> bytes:
    """The item at an offset of a page. Items are placed from the end of the page, in order."""
    if not 0 < offset < end <= pages.size:
        raise ValueError(f"{_NAME} contains a malformed item")
    item = pages.data[start + offset : start + end]
    if item[0] == _IN_PAGE:
        return item[1:]
    if item[0] != _OFF_PAGE or len(item) < 12:
        return b""
    first, length = struct.unpack_from(f"{pages.order}II", item, 4)
    return _chain(pages, first, length)


def _chain(pages: _Pages, number: int, length: int) -> bytes:
    found = bytearray()
    while number and len(found) < length:
        following, _, used, kind = pages.header(number)
        if kind != _OVERFLOW or not 0 < used <= pages.size - _PAGE_HEADER:
            raise ValueError(f"{_NAME} contains a malformed page")
        start = number * pages.size + _PAGE_HEADER
        found += pages.data[start : start + used]
        number = following
    if len(found) != length:
        raise ValueError(f"{_NAME} contains a truncated header")
    return bytes(found)

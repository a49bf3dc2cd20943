"""Sections of ELF files (System V ABI), as far as build information needs them."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from lamina.base.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import BinaryIO

MAGIC = b"\x7fELF"
_64_BITS, _LITTLE = 2, 1
_MOST_SECTIONS = 4096
_NO_BITS = 8  # the type of a section without content in the file
_LONGEST_NAME = 64


class Section(NamedTuple):
    """Where the content of a section is in the file, in bytes."""

    offset: int
    size: int


def read_sections(file: BinaryIO) -> Mapping[str, Section]:
    """The sections by name; none if the file is not a complete ELF file with section names."""
    file.seek(0)
    head = file.read(64)
    if len(head) < 52 or head[:4] != MAGIC:
        return {}
    order = "<" if head[5] == _LITTLE else ">"
    wide = head[4] == _64_BITS
    if wide and len(head) < 64:
        return {}
    place, (entry, count, names) = (
        (struct.unpack_from(f"{order}Q", head, 40)[0], struct.unpack_from(f"{order}3H", head, 58))
        if wide
        else (
            struct.unpack_from(f"{order}I", head, 32)[0],
            struct.unpack_from(f"{order}3H", head, 46),
        )
    )
    form = f"{order}IIQQQQ" if wide else f"{order}IIIIII"
    if not place or entry < struct.calcsize(form) or count > _MOST_SECTIONS or names >= count:
        return {}
    try:
        table = _read(file, Section(place, entry * count))
        headers = [struct.unpack_from(form, table, entry * number) for number in range(count)]
        return _named(file, headers, names)
    except (EOFError, OverflowError, OSError):
        return {}


def _named(file: BinaryIO, headers: Sequence[tuple[int, ...]], names: int) -> Mapping[str, Section]:
    texts = _read(file, Section(*headers[names][4:6]))
    found = {}
    for name, kind, _, _, offset, size in headers:
        text = texts[name : name + _LONGEST_NAME].split(b"\0", 1)[0]
        if kind != _NO_BITS and text:
            found[text.decode("latin-1")] = Section(offset, size)
    return found


def read_section(file: BinaryIO, section: Section, limit: int) -> bytes:
    """The content of a section. Raises ValueError if it is truncated or larger than `limit`."""
    if section.size > limit:
        raise ValueError(f"a section of an ELF file has more than {limit} bytes")
    try:
        return _read(file, section)
    except (EOFError, OverflowError, OSError) as error:
        raise ValueError("a section of an ELF file is truncated") from error


def _read(file: BinaryIO, section: Section) -> bytes:
    file.seek(section.offset)
    data = file.read(section.size)
    if len(data) < section.size:
        raise EOFError
    return data

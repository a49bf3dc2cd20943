"""Headers of rpm packages, as all formats of its database store them.

A header is the numbers of index entries and of bytes of data (big-endian), the index (tag, type,
offset, count), the data.
"""

from __future__ import annotations

import struct

from lamina.sbom.package import Package

_NAME, _VERSION, _RELEASE, _EPOCH = 1000, 1001, 1002, 1003
_VENDOR, _LICENCE, _ARCHITECTURE, _SOURCE = 1011, 1014, 1022, 1044
_TEXTS = frozenset((_NAME, _VERSION, _RELEASE, _VENDOR, _LICENCE, _ARCHITECTURE, _SOURCE))
_INT32, _STRING = 4, 6
_PUBLIC_KEY = "gpg-pubkey"


def read_header(blob: object, database: str) -> Package:
    """The package of a header. Raises ValueError, naming the database.

    The name is "" if the header has none.
    """
    if not isinstance(blob, bytes) or len(blob) < 8:
        raise ValueError(f"{database} contains a malformed header")
    count, length = struct.unpack_from(">II", blob)
    start = 8 + 16 * count
    if start + length > len(blob):
        raise ValueError(f"{database} contains a truncated header")
    data = blob[start : start + length]
    texts: dict[int, str] = {}
    epoch = 0
    for tag, kind, offset, _ in struct.iter_unpack(">IIII", blob[8:start]):
        if kind == _STRING and tag in _TEXTS:
            texts[tag] = data[offset:].split(b"\0", 1)[0].decode("utf-8", "replace")
        elif kind == _INT32 and tag == _EPOCH and offset + 4 <= length:
            (epoch,) = struct.unpack_from(">I", data, offset)
    licence = texts.get(_LICENCE, "")
    return Package(
        "rpm",
        texts.get(_NAME, ""),
        f"{texts.get(_VERSION, '')}-{texts.get(_RELEASE, '')}",
        "",
        (
            ("arch", texts.get(_ARCHITECTURE, "")),
            ("epoch", str(epoch) if epoch else ""),
            ("upstream", texts.get(_SOURCE, "")),
        ),
        (licence,) * bool(licence),
        texts.get(_VENDOR, ""),
    )


def is_software(package: Package) -> bool:
    """Whether it is a package with files: rpm stores imported keys as packages, too."""
    return bool(package.name) and package.name != _PUBLIC_KEY

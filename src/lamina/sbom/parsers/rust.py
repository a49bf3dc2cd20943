"""Cargo: the dependencies that `cargo auditable` stores in executables.

The section `.dep-v0` of an ELF file has zlib-compressed JSON (cargo-auditable's `PARSING.md`).
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from lamina.base.json_document import items, load_json_object, members, text
from lamina.sbom.package import Package

if TYPE_CHECKING:
    from collections.abc import Iterator

SECTION = ".dep-v0"
_LIMIT = 8 << 20
"""The maximum size in bytes of the JSON, which is what cargo-auditable's reader accepts."""


def read_dependencies(data: bytes) -> Iterator[Package]:
    """The packages in the content of the section, without those of build scripts."""
    expander = zlib.decompressobj()
    try:
        plain = expander.decompress(data, _LIMIT)
    except zlib.error as error:
        raise ValueError(f"{SECTION} is not compressed by zlib: {error}") from error
    if not expander.eof:
        raise ValueError(f"{SECTION} is truncated, or has more than {_LIMIT} bytes")
    for entry in map(members, items(load_json_object(plain, SECTION).get("packages"))):
        name, version = text(entry.get("name")), text(entry.get("version"))
        if name and version and text(entry.get("kind")) in ("", "runtime"):
            yield Package("cargo", name, version)

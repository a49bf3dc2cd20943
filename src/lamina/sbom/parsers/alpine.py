"""apk: `lib/apk/db/installed`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.sbom.package import Package
from lamina.sbom.parsers.paragraphs import paragraphs

if TYPE_CHECKING:
    from collections.abc import Iterator


def read_installed(data: bytes) -> Iterator[Package]:
    for fields in paragraphs(data):
        name, version = fields.get("P"), fields.get("V")
        if not name or not version:
            continue
        origin = fields.get("o", "")
        qualifiers = (("arch", fields.get("A", "")), ("upstream", "" if origin == name else origin))
        licence = fields.get("L", "")
        supplier = fields.get("m", "")
        yield Package("apk", name, version, "", qualifiers, (licence,) * bool(licence), supplier)

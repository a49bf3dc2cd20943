"""Python: `METADATA` and `PKG-INFO` of installed distributions (core metadata)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lamina.sbom.package import Package
from lamina.sbom.parsers.paragraphs import listed_paragraphs

if TYPE_CHECKING:
    from collections.abc import Iterator

_SEPARATORS = re.compile(r"[-_.]+")
_CLASSIFIER = "License :: "
_LONGEST = 100
"""Longer values of `License` are texts of licences."""


def read_metadata(data: bytes) -> Iterator[Package]:
    for fields in listed_paragraphs(data):
        name, version = fields.get("Name", [""])[0], fields.get("Version", [""])[0]
        if name and version:
            supplier = next(
                (fields[key][0] for key in ("Author-email", "Author") if fields.get(key)), ""
            )
            # Names are compared as package indexes do.
            plain = _SEPARATORS.sub("-", name).lower()
            yield Package("pypi", plain, version, "", (), _licences(fields), supplier)
        return  # the rest is the description


def _licences(fields: dict[str, list[str]]) -> tuple[str, ...]:
    for key in ("License-Expression", "License"):
        value = fields.get(key, [""])[0]
        if value and value.upper() != "UNKNOWN" and len(value) <= _LONGEST:
            return (value,)
    named = (value for value in fields.get("Classifier", []) if value.startswith(_CLASSIFIER))
    last = (value.rpartition(" :: ")[2] for value in named)
    return tuple(value for value in last if value != "OSI Approved")

"""dpkg: `var/lib/dpkg/status`, files of `status.d` (distroless images), and copyright files."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lamina.sbom.package import Package
from lamina.sbom.parsers.paragraphs import paragraphs

if TYPE_CHECKING:
    from collections.abc import Iterator

_COMMON = re.compile(rb"/usr/share/common-licenses/([A-Za-z0-9.+-]*[A-Za-z0-9+])")
_FORMAT = re.compile(rb"\AFormat(?:-Specification)?:", re.IGNORECASE)
_LICENCE = re.compile(r"^License:[ \t]*(\S.*)$", re.MULTILINE)


def read_status(data: bytes) -> Iterator[Package]:
    """The installed packages. Files of `status.d` have no field `Status`."""
    for fields in paragraphs(data):
        status = fields.get("Status")
        name, version = fields.get("Package"), fields.get("Version")
        if name and version and (status is None or status.split()[-1:] == ["installed"]):
            qualifiers = [("arch", fields.get("Architecture", ""))]
            source, _, other = fields.get("Source", "").partition(" ")
            if source and source != name:
                built = other.strip("() ") or version
                qualifiers.append(("upstream", f"{source}@{built}" if other else source))
            supplier = fields.get("Maintainer", "")
            yield Package("deb", name, version, "", tuple(qualifiers), (), supplier)


def read_copyright(data: bytes) -> tuple[str, ...]:
    """The licences that a copyright file declares (Debian's DEP-5), or that it refers to."""
    if _FORMAT.match(data):
        names = (
            found.strip() for found in _LICENCE.findall(data.decode("utf-8", "replace")) if found
        )
    else:
        names = (found.decode() for found in _COMMON.findall(data))
    return tuple(dict.fromkeys(names))

"""Composer: `vendor/composer/installed.json` (versions 1 and 2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.json_document import items, load_json, members, text
from lamina.sbom.package import Package

if TYPE_CHECKING:
    from collections.abc import Iterator


def read_installed(data: bytes) -> Iterator[Package]:
    document = load_json(data, "installed.json")
    listed = document if isinstance(document, list) else members(document).get("packages")
    for entry in map(members, items(listed)):
        vendor, _, name = text(entry.get("name")).lower().rpartition("/")
        version = text(entry.get("version"))
        if name and version:
            # Several licences of a package are a choice.
            licence = " OR ".join(text(one) for one in items(entry.get("license")))
            plain = version.removeprefix("v") if version[1:2].isdigit() else version
            yield Package("composer", name, plain, vendor, (), (licence,) * bool(licence))

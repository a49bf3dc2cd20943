"""npm: `node_modules/NAME/package.json`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from lamina.base.json_document import load_json_object, text
from lamina.sbom.package import Package

if TYPE_CHECKING:
    from collections.abc import Iterator

INSTALLED = re.compile(r"(?:^|/)node_modules/(?:@[^/]+/)?[^/]+/package\.json\Z")


def read_package_json(data: bytes) -> Iterator[Package]:
    document = load_json_object(data.removeprefix(b"\xef\xbb\xbf"), "package.json")
    name, version = text(document.get("name")), text(document.get("version"))
    if name and version:
        scope, _, plain = name.rpartition("/")
        author = document.get("author")
        supplier = author.get("name") if isinstance(author, dict) else author
        supplier = supplier if isinstance(supplier, str) else ""
        yield Package("npm", plain, version, scope, (), _licences(document), supplier)


def _licences(document: dict[str, Any]) -> tuple[str, ...]:
    value = document.get("license", document.get("licenses"))
    given = value if isinstance(value, list) else [value]
    names = (one.get("type") if isinstance(one, dict) else one for one in given)
    return tuple(name for name in names if isinstance(name, str) and name)

"""RubyGems: `specifications/NAME-VERSION.gemspec`, which RubyGems writes in one form."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lamina.sbom.package import Package

if TYPE_CHECKING:
    from collections.abc import Iterator

INSTALLED = re.compile(r"(?:^|/)specifications/(?:default/)?[^/]+\.gemspec\Z")
_FIELD = re.compile(
    r"^\s*s\.(name|version|platform)\s*=\s*(?:Gem::Version\.new\s*\(?\s*)?[\"']([^\"']+)[\"']",
    re.MULTILINE,
)
_LICENCES = re.compile(r"^\s*s\.licenses?\s*=\s*(.+)$", re.MULTILINE)
_STRING = re.compile(r"[\"']([^\"']+)[\"']")


def read_gemspec(data: bytes) -> Iterator[Package]:
    text = data.decode("utf-8", "replace")
    fields = dict(_FIELD.findall(text))
    if not {"name", "version"} <= fields.keys():
        return
    found = _LICENCES.search(text)
    licences = tuple(_STRING.findall(found.group(1))) if found else ()
    qualifiers = (("platform", fields.get("platform", "")),)
    yield Package("gem", fields["name"], fields["version"], "", qualifiers, licences)

"""Documents, validated by the libraries of their formats."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL
from spdx_tools.spdx.parser.parse_anything import parse_file
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

from lamina.sbom.cyclonedx import cyclonedx_document
from lamina.sbom.package import Distribution, Evidence, FoundPackage, Package, Scan
from lamina.sbom.spdx import spdx_document
from lamina.sbom.subject import Subject

if TYPE_CHECKING:
    from pathlib import Path

STATUS = Evidence("/var/lib/dpkg/status", "a" * 40, "b" * 64, 1)
JSON = Evidence("/app/node_modules/@s/l/package.json", "c" * 40, "d" * 64)
SCAN = Scan(
    (
        FoundPackage(
            Package(
                "deb",
                "bash",
                "5.2-1",
                "debian",
                (("arch", "amd64"), ("distro", "debian-12")),
                ("GPL-3+", "my own"),
                "Bash <bash@example.org>",
            ),
            STATUS,
            0,
        ),
        FoundPackage(Package("deb", "new", "1", "debian"), STATUS, 1),
        FoundPackage(Package("npm", "l", "1.0", "@s", (), ("MIT OR ISC",)), JSON),
        FoundPackage(Package("npm", "l", "1.0", "@s"), STATUS),
        FoundPackage(Package("golang", "b", "v1", "github.com/a"), JSON),
        FoundPackage(Package("pypi", "a b", ""), JSON),
    ),
    Distribution("debian", "12", "Debian 12"),
    (("/opt/x.jar", "x.jar is damaged"),),
)
LAYERS = ("sha256:" + "1" * 64, "sha256:" + "2" * 64)
SUBJECT = Subject("reg.example/app:1", 1_700_000_000, "sha256:" + "9" * 64, LAYERS)
EMPTY = Subject("./a folder", 0, container=False)


def test_spdx(tmp_path: Path) -> None:
    for number, (scan, subject) in enumerate(((SCAN, SUBJECT), (Scan(), EMPTY))):
        path = tmp_path / f"{number}.spdx.json"
        path.write_text(json.dumps(spdx_document(scan, subject)))
        assert validate_full_spdx_document(parse_file(str(path))) == []
    document = spdx_document(SCAN, SUBJECT)
    assert document == spdx_document(SCAN, SUBJECT)
    bash = next(package for package in document["packages"] if package["name"] == "bash")
    assert bash["comment"] == f"layerID: {LAYERS[0]}"
    assert bash["licenseDeclared"] == "GPL-3.0-or-later AND LicenseRef-my-own-5ce28039"
    (file,) = (file for file in document["files"] if file["fileName"].endswith("status"))
    assert file["comment"] == f"layerID: {LAYERS[1]}"
    assert document["creationInfo"]["created"] == "2023-11-14T22:13:20Z"
    assert "/opt/x.jar: x.jar is damaged" in document["comment"]


def test_cyclonedx() -> None:
    validator = JsonStrictValidator(SchemaVersion.V1_6)
    for scan, subject in ((SCAN, SUBJECT), (Scan(), EMPTY)):
        text = json.dumps(cyclonedx_document(scan, subject))
        assert validator.validate_str(text) is None
    document = cyclonedx_document(SCAN, SUBJECT)
    bash = next(part for part in document["components"] if part["name"] == "bash")
    assert bash["properties"] == [{"name": "lamina:layer", "value": LAYERS[0]}]
    (npm,) = (part for part in document["components"] if part["name"] == "l")
    assert (npm["group"], npm["licenses"]) == ("@s", [{"expression": "MIT OR ISC"}])
    assert len(npm["evidence"]["occurrences"]) == 2


def test_package_urls_are_canonical() -> None:
    for found in SCAN.packages:
        text = found.package.purl
        assert PackageURL.from_string(text).to_string() == text

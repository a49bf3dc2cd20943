"""Documents in the format SPDX 2.3 (JSON).

The files that show the presence of packages are listed, too. As BuildKit does, the comment of a
file names its layer: `layerID: sha256:…`. That of a package names the layer that introduced it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lamina import __version__
from lamina.base.digest import digest_of
from lamina.base.gojson import encode
from lamina.base.times import format_time
from lamina.sbom.licences import declared

if TYPE_CHECKING:
    from lamina.sbom.package import Evidence, FoundPackage, Scan
    from lamina.sbom.subject import Subject

PREDICATE = "https://spdx.dev/Document"
_UNKNOWN = "NOASSERTION"
_DOCUMENT = "SPDXRef-DOCUMENT"
_ROOT = "SPDXRef-DocumentRoot"
_SYSTEM = "SPDXRef-OperatingSystem"


def spdx_document(scan: Scan, subject: Subject) -> dict[str, Any]:
    """The document. Its name space contains the digest of its content."""
    writer = _Writer(scan, subject)
    return writer.document()


class _Writer:
    def __init__(self, scan: Scan, subject: Subject) -> None:
        self._scan = scan
        self._subject = subject
        self._files: dict[str, str] = {}
        self._references: dict[str, str] = {}
        self._relations: list[dict[str, str]] = []

    def document(self) -> dict[str, Any]:
        packages = [self._root(), *self._system(), *map(self._package, self._scan.packages)]
        evidence = {found.evidence.path: found.evidence for found in self._scan.packages}
        files = [self._file(evidence[path], name) for path, name in self._files.items()]
        content = {
            "packages": packages,
            "files": files,
            "hasExtractedLicensingInfos": [
                {"licenseId": name, "name": name.removeprefix("LicenseRef-"), "extractedText": text}
                for name, text in sorted(self._references.items())
            ],
            "relationships": self._relations,
        }
        name = self._subject.name
        plain = name.rpartition("/")[2].partition("@")[0] or "root"
        head = {
            "spdxVersion": "SPDX-2.3",
            "dataLicense": "CC0-1.0",
            "SPDXID": _DOCUMENT,
            "name": name,
            "documentNamespace": (
                f"https://lamina.example/sbom/{_identifier(plain)}-{digest_of(encode(content)).hex}"
            ),
            "creationInfo": {
                "created": format_time(int(self._subject.created)),
                "creators": [f"Tool: lamina-{__version__}"],
            },
        }
        if self._scan.problems:
            lines = (f"{path}: {reason}" for path, reason in self._scan.problems)
            head["comment"] = "Files that could not be read: " + "; ".join(lines)
        return {**head, **{key: value for key, value in content.items() if value}}

    def _root(self) -> dict[str, Any]:
        subject = self._subject
        self._relate(_DOCUMENT, "DESCRIBES", _ROOT)
        return {
            "SPDXID": _ROOT,
            "name": subject.name,
            **({"versionInfo": subject.version} if subject.version else {}),
            "primaryPackagePurpose": "CONTAINER" if subject.container else "FILE",
            **_UNANALYZED,
        }

    def _system(self) -> list[dict[str, Any]]:
        here = self._scan.distribution
        if not here.id:
            return []
        self._relate(_ROOT, "CONTAINS", _SYSTEM)
        return [
            {
                "SPDXID": _SYSTEM,
                "name": here.id,
                **({"versionInfo": here.version} if here.version else {}),
                **({"description": here.name} if here.name else {}),
                "primaryPackagePurpose": "OPERATING-SYSTEM",
                **_UNANALYZED,
            }
        ]

    def _package(self, found: FoundPackage) -> dict[str, Any]:
        package = found.package
        purl = package.purl
        digest = digest_of(f"{purl}\n{found.evidence.path}".encode("utf-8", "replace")).hex[:16]
        name = f"SPDXRef-Package-{package.kind}-{_identifier(package.name)}-{digest}"
        licence = declared(package.licences)
        self._references.update(licence.references)
        self._relate(_ROOT, "CONTAINS", name)
        self._relate(name, "OTHER", self._file_name(found.evidence), _EVIDENT)
        layer = self._subject.layer(found.layer)
        return {
            "SPDXID": name,
            "name": package.full_name,
            "versionInfo": package.version,
            **_UNANALYZED,
            **({"supplier": _supplier(package.supplier)} if package.supplier else {}),
            "sourceInfo": f"acquired package info from {found.evidence.path}",
            "licenseDeclared": licence.expression or _UNKNOWN,
            **({"comment": f"layerID: {layer}"} if layer else {}),
            "externalRefs": [
                {
                    "referenceCategory": "PACKAGE-MANAGER",
                    "referenceType": "purl",
                    "referenceLocator": purl,
                }
            ],
        }

    def _file_name(self, evidence: Evidence) -> str:
        path = evidence.path
        if path not in self._files:
            digest = digest_of(path.encode("utf-8", "surrogateescape")).hex[:16]
            plain = _identifier(path.rpartition("/")[2])
            self._files[path] = f"SPDXRef-File-{plain}-{digest}"
        return self._files[path]

    def _file(self, evidence: Evidence, name: str) -> dict[str, Any]:
        layer = self._subject.layer(evidence.layer)
        return {
            "SPDXID": name,
            "fileName": f".{evidence.path}".encode("utf-8", "replace").decode(),
            "checksums": [
                {"algorithm": "SHA1", "checksumValue": evidence.sha1},
                {"algorithm": "SHA256", "checksumValue": evidence.sha256},
            ],
            "licenseConcluded": _UNKNOWN,
            "licenseInfoInFiles": [_UNKNOWN],
            "copyrightText": _UNKNOWN,
            **({"comment": f"layerID: {layer}"} if layer else {}),
        }

    def _relate(self, one: str, kind: str, other: str, comment: str = "") -> None:
        relation = {"spdxElementId": one, "relationshipType": kind, "relatedSpdxElement": other}
        if comment:
            relation["comment"] = comment
        self._relations.append(relation)


_UNANALYZED = {
    "downloadLocation": _UNKNOWN,
    "filesAnalyzed": False,
    "licenseConcluded": _UNKNOWN,
    "copyrightText": _UNKNOWN,
}
_EVIDENT = "evident-by: indicates the package's existence is evident by the given file"
"""The comment of this relationship in documents of other scanners."""


def _supplier(text: str) -> str:
    """`Person: Name (mail)`, for `Name <mail>`; an organization if there is no address."""
    name, _, rest = " ".join(text.split()).partition("<")
    mail = rest.partition(">")[0].strip()
    name = name.strip().strip('"') or mail
    if not mail:
        return f"Organization: {name}"
    return f"Person: {name} ({mail})"


def _identifier(text: str) -> str:
    """The text with the characters that identifiers may have."""
    return "".join(c if c.isascii() and (c.isalnum() or c in ".-") else "-" for c in text)[:80]

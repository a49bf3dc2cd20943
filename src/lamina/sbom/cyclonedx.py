"""Documents in the format CycloneDX 1.6 (JSON)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lamina import __version__
from lamina.base.digest import digest_of
from lamina.base.gojson import encode
from lamina.base.times import format_time
from lamina.sbom.licence_list import LICENCES
from lamina.sbom.licences import declared

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lamina.sbom.package import FoundPackage, Scan
    from lamina.sbom.subject import Subject

PREDICATE = "https://cyclonedx.org/bom"
_GROUPED = ("maven", "npm", "composer")
"""The package managers whose names have a group."""


def cyclonedx_document(scan: Scan, subject: Subject) -> dict[str, Any]:
    """The document. Its serial number is made of the digest of its content."""
    by_purl: dict[str, list[FoundPackage]] = {}
    for found in scan.packages:
        by_purl.setdefault(found.package.purl, []).append(found)
    components = [*_system(scan), *(_component(all_, subject) for all_ in by_purl.values())]
    serial = digest_of(encode([subject.name, subject.version, components])).hex
    # The bits of version 8 (custom) and of the variant, RFC 9562.
    uuid = f"{serial[:8]}-{serial[8:12]}-8{serial[13:16]}-8{serial[17:20]}-{serial[20:32]}"
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid}",
        "version": 1,
        "metadata": {
            "timestamp": format_time(int(subject.created)),
            "tools": {
                "components": [{"type": "application", "name": "lamina", "version": __version__}]
            },
            "component": {
                "type": "container" if subject.container else "file",
                "bom-ref": "root",
                "name": subject.name,
                **({"version": subject.version} if subject.version else {}),
            },
            **(
                {"properties": [_property("unreadable", f"{p}: {r}") for p, r in scan.problems]}
                if scan.problems
                else {}
            ),
        },
        "components": components,
        "dependencies": [
            {"ref": "root", "dependsOn": [component["bom-ref"] for component in components]}
        ],
    }


def _system(scan: Scan) -> list[dict[str, Any]]:
    here = scan.distribution
    if not here.id:
        return []
    return [
        {
            "type": "operating-system",
            "bom-ref": f"os:{here.id}",
            "name": here.id,
            **({"version": here.version} if here.version else {}),
            **({"description": here.name} if here.name else {}),
        }
    ]


def _component(all_found: Sequence[FoundPackage], subject: Subject) -> dict[str, Any]:
    package = all_found[0].package
    purl = package.purl
    grouped = package.kind in _GROUPED and package.namespace
    layers = dict.fromkeys(subject.layer(found.layer) for found in all_found)
    properties = [_property("layer", layer) for layer in layers if layer]
    licences = _licences(package.licences)
    return {
        "type": "library",
        "bom-ref": purl,
        **({"supplier": {"name": package.supplier}} if package.supplier else {}),
        **({"group": package.namespace} if grouped else {}),
        "name": package.name if grouped else package.full_name,
        "version": package.version,
        **({"licenses": licences} if licences else {}),
        "purl": purl,
        "evidence": {
            "occurrences": [
                {"location": path}
                for path in dict.fromkeys(
                    found.evidence.path.encode("utf-8", "replace").decode() for found in all_found
                )
            ]
        },
        **({"properties": properties} if properties else {}),
    }


def _licences(names: Sequence[str]) -> list[dict[str, Any]]:
    """One expression, or all licences by name if one is not in SPDX's list."""
    licence = declared(names)
    if not licence.expression:
        return []
    if licence.expression in LICENCES:
        return [{"license": {"id": licence.expression}}]
    if not licence.references:
        return [{"expression": licence.expression}]
    return [{"license": {"name": name}} for name in dict.fromkeys(names)]


def _property(name: str, value: str) -> dict[str, str]:
    return {"name": f"lamina:{name}", "value": value}

"""Java: archives (jar, war, ear) with the properties of Maven or a manifest, also in each other."""

from __future__ import annotations

import re
import zipfile
from io import BytesIO
from typing import TYPE_CHECKING

from lamina.sbom.package import Package

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

ARCHIVES = (".jar", ".war", ".ear", ".par", ".sar", ".hpi", ".jpi")
_PROPERTIES = re.compile(r"META-INF/maven/[^/]+/[^/]+/pom\.properties\Z")
_MANIFEST = "META-INF/MANIFEST.MF"
_TEXT_LIMIT = 1 << 20
_NESTED_LIMIT = 256 << 20
_DEEPEST = 4
_MOST_ENTRIES = 200_000
_NAME = re.compile(r"(?P<name>.+?)-(?P<version>\d[\w.+-]*)\Z")


def read_archive(file: BinaryIO, name: str) -> Iterator[Package]:
    """The packages of an archive. Raises ValueError if it is malformed."""
    return _read(file, name, 0)


def _read(file: BinaryIO, name: str, depth: int) -> Iterator[Package]:
    try:
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
            if len(entries) > _MOST_ENTRIES:
                raise ValueError(f"{name} has more than {_MOST_ENTRIES} entries")
            yield from _own(archive, entries, name)
            for entry in entries:
                if entry.filename.endswith(ARCHIVES) and depth < _DEEPEST:
                    nested = BytesIO(_content(archive, entry, _NESTED_LIMIT))
                    yield from _read(nested, entry.filename.rpartition("/")[2], depth + 1)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError) as error:
        raise ValueError(f"{name} is damaged: {error}") from error
    except zipfile.zlib.error as error:  # type: ignore[attr-defined] # what reading entries raises
        raise ValueError(f"{name} is damaged: {error}") from error


def _own(archive: zipfile.ZipFile, entries: list[zipfile.ZipInfo], name: str) -> Iterator[Package]:
    manifest: dict[str, str] = {}
    found = False
    for entry in entries:
        if entry.filename == _MANIFEST:
            manifest = _attributes(_content(archive, entry, _TEXT_LIMIT))
    licences = _licences(manifest)
    for entry in entries:
        if _PROPERTIES.match(entry.filename):
            fields = _properties(_content(archive, entry, _TEXT_LIMIT))
            artifact, version = fields.get("artifactId"), fields.get("version")
            if artifact and version:
                found = True
                own = artifact in name
                group = fields.get("groupId", "")
                yield Package("maven", artifact, version, group, (), licences if own else ())
    if not found and (package := _of_manifest(manifest, name, licences)):
        yield package


def _of_manifest(manifest: dict[str, str], name: str, licences: tuple[str, ...]) -> Package | None:
    stem = name.rpartition(".")[0]
    matched = _NAME.match(stem)
    title = matched["name"] if matched else stem
    versions = (
        manifest.get(key)
        for key in ("Implementation-Version", "Bundle-Version", "Specification-Version")
    )
    version = matched["version"] if matched else next((v for v in versions if v), "")
    if not title or not version:
        return None
    group = manifest.get("Implementation-Vendor-Id", "") or _group(manifest)
    vendor = manifest.get("Implementation-Vendor", manifest.get("Bundle-Vendor", ""))
    return Package("maven", title, version, group or title, (), licences, vendor)


def _group(manifest: dict[str, str]) -> str:
    """The group, as far as the name of the bundle says it: `org.slf4j.api` is of `org.slf4j`."""
    name = manifest.get("Bundle-SymbolicName", "").partition(";")[0].strip()
    return name.rpartition(".")[0]


def _licences(manifest: dict[str, str]) -> tuple[str, ...]:
    value = manifest.get("Bundle-License", "")
    parts = (part.partition(";")[0].strip() for part in value.split(","))
    return tuple(part for part in parts if part)


def _content(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, limit: int) -> bytes:
    with archive.open(entry) as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise ValueError(f"{entry.filename} has more than {limit} bytes")
    return data


def _attributes(data: bytes) -> dict[str, str]:
    """The main attributes of a manifest. Lines that start with a space continue the one above."""
    text = data.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n")
    main = text.partition("\n\n")[0].replace("\n ", "")
    pairs = (line.partition(":")[::2] for line in main.split("\n"))
    return {key: value.strip() for key, value in pairs}


def _properties(data: bytes) -> dict[str, str]:
    lines = data.decode("utf-8", "replace").splitlines()
    pairs = (line.partition("=")[::2] for line in lines if not line.startswith("#"))
    return {key.strip(): value.strip() for key, value in pairs}

"""`lamina imagetools inspect`."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Any

from lamina.base.errors import Corrupt, InvalidInput
from lamina.base.json_document import items, load_json_object, members, text, text_pairs, texts
from lamina.base.oci import INDEX_TYPES
from lamina.base.reference import parse_reference
from lamina.cli.imagetools.contents import ImageContents, named_platform
from lamina.cli.imagetools.go_documents import (
    DESCRIPTOR,
    INDEX,
    GoDocument,
    go_document,
    json_indented,
)
from lamina.cli.imagetools.registries import registry_client
from lamina.cli.tables import tab_separated

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lamina.base.oci import Descriptor
    from lamina.base.reference import Reference
    from lamina.cli.flags import Parsed

_ATTESTATIONS = {
    "SBOM": GoDocument({"SPDX": None, "AdditionalSPDXs": ()}, {}),
    "Provenance": GoDocument({"SLSA": None}, {}),
}
"""The fields with attestations, and their values for an image without any."""
_ALL = re.compile(r"(?<![\w.)\]])\.(?!\w)")
"""A dot that is no part of a field: all fields."""
_WHOLE = re.compile(r"\s*\{\{\s*\.Manifest\s*\}\}\s*")


def run(parsed: Parsed) -> int:
    """Print an image or an index."""
    name = parsed.arguments[0]
    template = parsed.text("format")
    if template and parsed.switch("raw"):
        raise InvalidInput("--format and --raw cannot be combined")
    reference = parse_reference(name)
    with registry_client(parsed, reference) as client:
        found = client.resolve(reference)
        data = client.manifest(reference, found.digest)
        if parsed.switch("raw"):
            if sys.stdout.isatty():
                print(data.decode("utf-8", "replace"))
            else:
                sys.stdout.buffer.write(data)
            return 0
        document = load_json_object(data, "manifest")
        if template and _WHOLE.fullmatch(template) is None:
            contents = ImageContents(client, reference, found, data)
            print(_rendered(template, name, _manifest(found, document), contents))
            return 0
    print("\n".join(_blocks(reference, found, document)))
    return 0


def _rendered(template: str, name: str, manifest: GoDocument, contents: ImageContents) -> str:
    from lamina.base.go_template import GoTemplate

    whole = "{{json .}}" if template == "json" else template
    fields = _fields(whole, name, manifest, contents)
    return GoTemplate(whole, {"json": json_indented}).render(fields)


def _fields(template: str, name: str, manifest: GoDocument, contents: ImageContents) -> GoDocument:
    """The fields of a template. Those that it does not mention are not fetched."""
    fields: dict[str, Any] = {"Name": name, "Manifest": manifest}
    everything = _ALL.search(template) is not None
    if everything or "Image" in template:
        configs = contents.configs
        several = len(configs) > 1
        fields["Image"] = configs if several else next(iter(configs.values()), None)
    for field, nothing in _ATTESTATIONS.items():
        if field in template:
            found = contents.sboms if field == "SBOM" else contents.provenance
            several = len(contents.configs) > 1
            fields[field] = found if several else next(iter(found.values()), nothing)
    document = {key.lower(): fields[key] for key in ("Name", "Manifest", "Image") if key in fields}
    return GoDocument(fields, document)


def _manifest(found: Descriptor, document: Mapping[str, Any]) -> GoDocument:
    """The index with its digest and size, or the descriptor of a manifest."""
    described = found._replace(annotations=()).to_json()
    if found.media_type not in INDEX_TYPES:
        return go_document(described, DESCRIPTOR)
    return go_document({**document, "digest": described["digest"], "size": found.size}, INDEX)


def _blocks(reference: Reference, found: Descriptor, document: Mapping[str, Any]) -> Iterator[str]:
    """The paragraphs of buildx, whose columns are aligned separately. Raises Corrupt."""
    yield tab_separated(
        [
            f"Name:\t{reference}",
            f"MediaType:\t{found.media_type}",
            f"Digest:\t{found.digest}",
        ]
    )
    if found.media_type not in INDEX_TYPES:
        return
    yield tab_separated(["\t", "Manifests:\t"])
    lines: list[str] = []
    try:
        for number, entry in enumerate(items(document.get("manifests"))):
            lines += ["\t"] if number else []
            annotations = sorted(text_pairs(members(entry).get("annotations")))
            lines += _entry_lines(reference, members(entry))
            if annotations and members(entry).get("platform"):
                yield tab_separated([*lines, "  Annotations:\t"])
                yield tab_separated([f"    {key}:\t{value}" for key, value in annotations])
                lines = []
    except ValueError as error:
        raise Corrupt(f"malformed index of {reference.familiar}: {error}") from error
    if lines:
        yield tab_separated(lines)


def _entry_lines(reference: Reference, entry: Mapping[str, Any]) -> Iterator[str]:
    yield f"  Name:\t{reference}@{text(entry.get('digest'))}"
    yield f"  MediaType:\t{text(entry.get('mediaType'))}"
    platform = members(entry.get("platform"))
    if not platform:
        return
    yield f"  Platform:\t{named_platform(platform)}"
    if version := text(platform.get("os.version")):
        yield f"  OSVersion:\t{version}"
    if features := texts(platform.get("os.features")):
        yield f"  OSFeatures:\t{', '.join(features)}"
    if urls := texts(entry.get("urls")):
        yield f"  URLs:\t{', '.join(urls)}"

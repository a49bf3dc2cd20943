"""What belongs to an image in a registry: configurations and attestations, by platform.

They are only fetched if a template asks for them.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from lamina.base.json_document import load_json_object, members, text
from lamina.base.oci import Descriptor, Index, Manifest, parse_manifest, platform_from_json
from lamina.base.platform import Platform, normalise
from lamina.cli.imagetools.go_documents import IMAGE, GoDocument, go_document

if TYPE_CHECKING:
    from lamina.base.reference import Reference
    from lamina.registry.client import RegistryClient

_SUBJECTS = ("com.docker.reference.digest", "vnd.docker.reference.digest")
_STATEMENT = "application/vnd.in-toto+json"
_PREDICATE = "in-toto.io/predicate-type"
_SPDX = "https://spdx.dev/Document"
_SLSA = "https://slsa.dev/provenance/"


class ImageContents:
    """The contents of an image or an index.

    Args:
        found: the descriptor of the document `data`.
    """

    def __init__(
        self, client: RegistryClient, reference: Reference, found: Descriptor, data: bytes
    ) -> None:
        self._client = client
        self._reference = reference
        self._found = found
        self._data = data

    @cached_property
    def configs(self) -> dict[str, GoDocument]:
        """The image configurations by platform."""
        return {
            name: go_document(self._config(manifest), IMAGE)
            for name, (_, manifest) in sorted(self._images.items())
        }

    @cached_property
    def sboms(self) -> dict[str, GoDocument]:
        """The SPDX documents by platform, of those that have some."""
        found = {}
        for name, predicates in self._predicates(_SPDX).items():
            fields: dict[str, Any] = {"SPDX": predicates[0], "AdditionalSPDXs": predicates[1:]}
            document = {key: value for key, value in fields.items() if value}
            found[name] = GoDocument(fields, document)
        return found

    @cached_property
    def provenance(self) -> dict[str, GoDocument]:
        """The provenance by platform, of those that have one."""
        return {
            name: GoDocument({"SLSA": predicates[-1]}, {"SLSA": predicates[-1]})
            for name, predicates in self._predicates(_SLSA).items()
        }

    @cached_property
    def _manifests(self) -> list[tuple[Descriptor, Manifest]]:
        """All manifests, also of indexes in an index."""
        found = []
        left = [(self._found, self._data)]
        while left:
            descriptor, data = left.pop(0)
            document = parse_manifest(data, descriptor.media_type)
            if not isinstance(document, Index):
                found.append((descriptor, document))
                continue
            left += [
                (entry, self._client.manifest(self._reference, entry.digest))
                for entry in document.manifests
            ]
        return found

    @cached_property
    def _images(self) -> dict[str, tuple[Descriptor, Manifest]]:
        found = {}
        for descriptor, manifest in self._manifests:
            if not _subject(descriptor):
                platform = descriptor.platform or self._platform(manifest)
                found[platform_name(normalise(platform))] = (descriptor, manifest)
        return found

    def _predicates(self, kind: str) -> dict[str, list[Any]]:
        """The predicates whose type begins with `kind`, by platform."""
        found: dict[str, list[Any]] = {}
        for name, (descriptor, _) in sorted(self._images.items()):
            about = [m for d, m in self._manifests if _subject(d) == str(descriptor.digest)]
            for manifest in about:
                for layer in manifest.layers:
                    if layer.media_type == _STATEMENT and dict(layer.annotations).get(
                        _PREDICATE, ""
                    ).startswith(kind):
                        statement = load_json_object(self._blob(layer), "attestation")
                        found.setdefault(name, []).append(statement.get("predicate"))
        return found

    def _config(self, manifest: Manifest) -> dict[str, Any]:
        return load_json_object(self._blob(manifest.config), "image config")

    def _platform(self, manifest: Manifest) -> Platform:
        return platform_from_json(self._config(manifest))

    def _blob(self, descriptor: Descriptor) -> bytes:
        return b"".join(self._client.blob(self._reference, descriptor))


def _subject(descriptor: Descriptor) -> str:
    """The digest of the manifest that an attestation is about, "" for an image."""
    annotations = dict(descriptor.annotations)
    return next((annotations[name] for name in _SUBJECTS if name in annotations), "")


def platform_name(platform: Platform) -> str:
    """`os/arch[/variant]`."""
    parts = (platform.os, platform.architecture, platform.variant)
    return "/".join(part for part in parts if part)


def named_platform(document: object) -> str:
    """`platform_name` of a descriptor's JSON. Raises ValueError."""
    found = members(document)
    parts = (text(found.get(key)) for key in ("os", "architecture", "variant"))
    return "/".join(part for part in parts if part)

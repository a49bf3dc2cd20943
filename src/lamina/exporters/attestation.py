"""Attestations of an image: in-toto statements, and the manifest that contains them.

The manifest is an entry of the image's index, for no platform, whose annotations say which
manifest it is about (BuildKit's attestation storage).
"""

from __future__ import annotations

import json
from enum import Enum
from typing import TYPE_CHECKING, Any

from lamina.base import oci
from lamina.base.digest import digest_of
from lamina.base.errors import InvalidInput
from lamina.base.gojson import encode, encode_indented
from lamina.base.named_tuple import NamedTuple
from lamina.base.oci import Descriptor
from lamina.base.platform import Platform
from lamina.exporters.contract import Document

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lamina.base.digest import Digest

REFERENCE_TYPE = "vnd.docker.reference.type"
REFERENCE_DIGEST = "vnd.docker.reference.digest"
_STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
_PAYLOAD = "application/vnd.in-toto+json"
_ARTIFACT = "application/vnd.docker.attestation.manifest.v1+json"
_PREDICATE_TYPE = "in-toto.io/predicate-type"
_NOWHERE = Platform("unknown", "unknown")


class SubjectKind(Enum):
    """SELF is the exported artifact; the digests of RAW are part of the attestation."""

    SELF = 0
    RAW = 1


class Subject(NamedTuple):
    """The subject of a statement. A SELF with a name is listed under that name too."""

    kind: SubjectKind = SubjectKind.SELF
    name: str = ""
    digests: tuple[Digest, ...] = ()


class Named(NamedTuple):
    """An exported artifact, as a subject in a statement."""

    name: str
    digest: Digest


class Statement(NamedTuple):
    """One in-toto statement. Only the exporter knows what SELF is, and adds it.

    `predicate` is JSON, b"" for null; `path` gives files their name; no `subjects` means SELF.
    """

    predicate_type: str
    path: str
    predicate: bytes
    subjects: tuple[Subject, ...] = ()

    def to_json(self, exported: Sequence[Named]) -> dict[str, Any]:
        """The document, about `exported`. Raises InvalidInput if the predicate is not JSON."""
        subjects: list[dict[str, Any]] = []
        for subject in self.subjects or (Subject(),):
            if subject.kind is SubjectKind.RAW:
                subjects.append(_subject(subject.name or "_", subject.digests))
                continue
            for item in exported:
                names = dict.fromkeys((item.name, subject.name or item.name))
                subjects += [_subject(name, (item.digest,)) for name in names]
        try:
            predicate = json.loads(self.predicate) if self.predicate else None
        except (ValueError, RecursionError) as error:
            raise InvalidInput(f"attestation {self.path}: malformed JSON: {error}") from error
        return {
            "_type": _STATEMENT_TYPE,
            "predicateType": self.predicate_type,
            "subject": subjects,
            "predicate": predicate,
        }


def _subject(name: str, digests: Sequence[Digest]) -> dict[str, Any]:
    return {"name": name, "digest": {d.algorithm: d.hex for d in sorted(digests)}}


def attestation_manifest(
    target: Descriptor, statements: Sequence[dict[str, Any]], *, artifact: bool
) -> tuple[Document, ...]:
    """The statements, a configuration, and their manifest, with a descriptor for the index of
    `target`.

    With `artifact`, the manifest names its subject (OCI image spec 1.1), so that registries with
    the referrers API find it. Otherwise it has the form of an image, which all registries accept.
    """
    layers = []
    for statement in statements:
        data = encode(statement)
        kind = ((_PREDICATE_TYPE, str(statement["predicateType"])),)
        layers.append(Document(Descriptor(_PAYLOAD, digest_of(data), len(data), kind), data))
    config = _empty() if artifact else _image_like([layer.descriptor for layer in layers])
    document: dict[str, Any] = {"schemaVersion": 2, "mediaType": oci.OCI_MANIFEST}
    if artifact:
        document["artifactType"] = _ARTIFACT
    document["config"] = config.descriptor.to_json()
    if artifact:
        document["config"]["data"] = "e30="
    document["layers"] = [layer.descriptor.to_json() for layer in layers]
    if artifact:
        plain = target._replace(annotations=(), platform=None)
        document["subject"] = plain.to_json()
    data = encode_indented(document)
    about = ((REFERENCE_DIGEST, str(target.digest)), (REFERENCE_TYPE, "attestation-manifest"))
    descriptor = Descriptor(
        oci.OCI_MANIFEST, digest_of(data), len(data), annotations=about, platform=_NOWHERE
    )
    return (*layers, config, Document(descriptor, data))


def _empty() -> Document:
    return Document(Descriptor(oci.OCI_EMPTY, digest_of(b"{}"), 2), b"{}")


def _image_like(layers: Sequence[Descriptor]) -> Document:
    data = encode(
        {
            "architecture": _NOWHERE.architecture,
            "os": _NOWHERE.os,
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [str(layer.digest) for layer in layers]},
        }
    )
    return Document(Descriptor(oci.OCI_CONFIG, digest_of(data), len(data)), data)

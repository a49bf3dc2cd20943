"""`lamina history inspect attachment`, and the attachments that `inspect` lists."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from lamina.base.digest import parse_digest
from lamina.base.errors import InvalidInput, LaminaError, NotFound
from lamina.base.named_tuple import NamedTuple
from lamina.base.oci import Descriptor, Index, parse_manifest
from lamina.cli.opening import open_history
from lamina.records.naming import find_record
from lamina.system.descriptors import write_all

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lamina.api.descriptor import Descriptor as RecordedDescriptor
    from lamina.api.history import BuildHistoryRecord
    from lamina.cli.flags import Parsed
    from lamina.client.build_history import BuildHistory

_PREDICATE = "in-toto.io/predicate-type"
_REFERENCE_TYPE = "vnd.docker.reference.type"
_REFERENCE = "vnd.docker.reference.digest"
_ATTESTATIONS = "attestation-manifest"
_TYPES = {
    "index": (
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
    ),
    "manifest": (
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    ),
    "image": (
        "application/vnd.oci.image.config.v1+json",
        "application/vnd.docker.container.image.v1+json",
    ),
    "provenance": ("https://slsa.dev/provenance/v1", "https://slsa.dev/provenance/v0.2"),
    "sbom": ("https://spdx.dev/Document",),
}
_STDOUT = 1


class Attachment(NamedTuple):
    """A blob of a record's results. `type` is its media type, or the predicate type of an
    attestation; `platform` is "" if it is for none or for all."""

    digest: str
    platform: str
    type: str


def run(parsed: Parsed, names: list[str]) -> int:
    """Write one attachment: the one of a digest, or the first that the flags select."""
    build, *digests = names or [""]
    kind, platform = parsed.text("type"), parsed.text("platform")
    if not digests and not kind and not platform:
        raise InvalidInput(
            "`lamina history inspect attachment` needs --type, --platform or a digest",
            hint="`lamina history inspect` lists the attachments of a build",
        )
    with open_history(parsed) as history:
        record = history.record(find_record(history.rows(), build).ref)
        if digests:
            digest = str(parse_digest(digests[0]))
        else:
            digest = _selected(attachments_of(history, record), kind, platform, record.ref)
        data = history.blob(digest)
    sys.stdout.flush()
    write_all(_STDOUT, data)
    return 0


def attachments_of(history: BuildHistory, record: BuildHistoryRecord) -> list[Attachment]:
    """The images of a build with their manifests and configurations, and its attestations.

    They are in the order of buildx: by platform, then by type. Those that the store no longer has
    are left out.
    """
    found: list[Attachment] = []
    for platform, result in (("", record.result), *record.results):
        if result is not None:
            for attestation in result.attestations:
                found.append(Attachment(attestation.digest, platform, _recorded_type(attestation)))
            for output in result.results:
                if output.descriptor is not None:
                    root = output.descriptor
                    target = Descriptor(root.media_type, parse_digest(root.digest), root.size)
                    found += _walk(history, target, platform)
    return sorted(dict.fromkeys(found), key=lambda each: (each.platform, each.type))


def _recorded_type(target: RecordedDescriptor) -> str:
    return dict(target.annotations).get(_PREDICATE, target.media_type)


def _walk(history: BuildHistory, target: Descriptor, platform: str) -> Iterator[Attachment]:
    try:
        document = parse_manifest(history.blob(target.digest), target.media_type)
    except LaminaError:
        return  # it was pruned, or is no image
    annotations = dict(target.annotations)
    if annotations.get(_REFERENCE_TYPE) == _ATTESTATIONS:
        if not isinstance(document, Index):
            for layer in document.layers:
                predicate = dict(layer.annotations).get(_PREDICATE)
                if predicate is not None:
                    yield Attachment(layer.digest, platform, predicate)
        return
    yield Attachment(target.digest, platform, target.media_type)
    if not isinstance(document, Index):
        yield Attachment(document.config.digest, platform, document.config.media_type)
        return
    platforms = {str(m.digest): str(m.platform) for m in document.manifests if m.platform}
    for entry in document.manifests:
        subject = dict(entry.annotations).get(_REFERENCE, str(entry.digest))
        yield from _walk(history, entry, platforms.get(subject, platform))


def _selected(found: list[Attachment], kind: str, platform: str, ref: str) -> str:
    types = _TYPES.get(kind, (kind,))
    for each in found:
        if (not kind or each.type in types) and (not platform or each.platform == platform):
            return each.digest
    known = ", ".join(dict.fromkeys(each.type for each in found))
    raise NotFound(
        f"build {ref} has no such attachment",
        hint=f"its attachments are {known}" if known else "the build has no attachments",
    )

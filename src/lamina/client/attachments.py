"""The documents of a build's results that a record refers to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.digest import parse_digest
from lamina.base.errors import LaminaError
from lamina.base.named_tuple import NamedTuple
from lamina.base.oci import Descriptor, Index, parse_manifest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lamina.api.descriptor import Descriptor as RecordedDescriptor
    from lamina.api.history import BuildHistoryRecord
    from lamina.client.build_history import BuildHistory

_PREDICATE = "in-toto.io/predicate-type"
_REFERENCE_TYPE = "vnd.docker.reference.type"
_REFERENCE = "vnd.docker.reference.digest"
_ATTESTATIONS = "attestation-manifest"


class Attachment(NamedTuple):
    """A blob of a record's results. `type` is its media type, or the predicate type of an
    attestation; `platform` is "" if it is for none or for all."""

    digest: str
    platform: str
    type: str


def attachments_of(history: BuildHistory, record: BuildHistoryRecord) -> list[Attachment]:
    """The images of a build with their manifests and configurations, and its attestations.

    They are in the order of buildx: by platform, then by type. Those that the store no longer has
    are left out.
    """
    found: list[Attachment] = []
    for platform, result in (("", record.result), *record.results):
        if result is not None:
            for attestation in result.attestations:
                found.append(Attachment(attestation.digest, platform, recorded_type(attestation)))
            for output in result.results:
                if output.descriptor is not None:
                    root = output.descriptor
                    target = Descriptor(root.media_type, parse_digest(root.digest), root.size)
                    found += _walk(history, target, platform)
    return sorted(dict.fromkeys(found), key=lambda each: (each.platform, each.type))


def recorded_type(target: RecordedDescriptor) -> str:
    """The predicate type of an attestation, else the media type."""
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

"""Indexes of images built here: one image for each platform, each with its attestations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base import oci
from lamina.base.digest import digest_of
from lamina.base.errors import InvalidInput
from lamina.base.gojson import encode_indented
from lamina.base.oci import Descriptor, Index
from lamina.exporters.contract import Artifact, Document

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lamina.exporters.annotations import Pairs
    from lamina.exporters.contract import ExportedImage


def make_index(
    images: Sequence[ExportedImage],
    attestations: Sequence[Sequence[Document]] = (),
    *,
    names: tuple[str, ...] = (),
    docker_types: bool = False,
    annotations: Pairs = (),
    descriptor_annotations: Pairs = (),
) -> Artifact:
    """The index over images, in order. The same arguments give the same bytes.

    `attestations` are results of `attestation_manifest`. Their entries follow those of the images.
    Raises InvalidInput for what Docker's manifest list cannot contain.
    """
    if docker_types and (annotations or descriptor_annotations or attestations):
        what = "attestations" if attestations else "annotations"
        raise InvalidInput(f'cannot export {what} with "oci-mediatypes=false"', hint="remove it")
    kind = oci.DOCKER_INDEX if docker_types else oci.OCI_INDEX
    entries = [image.target for image in images]
    entries += [documents[-1].descriptor for documents in attestations]
    data = encode_indented(Index(kind, tuple(entries), annotations).to_json())
    target = Descriptor(kind, digest_of(data), len(data), descriptor_annotations)
    inner = {
        document.descriptor.digest: document
        for documents in (*(image.documents() for image in images), *attestations)
        for document in documents
    }
    return Artifact(target, (*inner.values(), Document(target, data)), tuple(images), names)

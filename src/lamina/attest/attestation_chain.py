"""The documents that connect an image with its attestations and their signatures.

An image's index contains, beside the manifests of its platforms, manifests of attestations
(BuildKit's `docs/attestations/attestation-storage.md`). Signatures refer to those.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.api import descriptor as wire
from lamina.api.sourcemeta import AttestationChain, Blob
from lamina.base.errors import Corrupt, Unsupported
from lamina.base.oci import Descriptor, Index, Manifest, parse_manifest

if TYPE_CHECKING:
    from collections.abc import Collection

    from lamina.base.digest import Digest
    from lamina.base.reference import Reference
    from lamina.sources.image import ImageResolver
    from lamina.sources.manifests import ResolvedManifest
    from lamina.system.cancel import Cancellation

PREDICATE_TYPE = "in-toto.io/predicate-type"
_KIND = "vnd.docker.reference.type"
_SUBJECT = "vnd.docker.reference.digest"
_ATTESTATIONS = "attestation-manifest"
_SIGNATURES = (
    "application/vnd.dev.sigstore.bundle.v0.3+json",
    "application/vnd.dev.cosign.artifact.sig.v1+json",
)
"""Artifact types, in order of preference."""
_LIMIT = 8 << 20
"""The maximum size of all documents in bytes: they are sent in one message."""


def attestation_chain(
    resolver: ImageResolver,
    reference: Reference,
    image: ResolvedManifest,
    predicates: Collection[str],
    cancel: Cancellation,
) -> AttestationChain | None:
    """The chain of one platform's image, with the attestations of these predicate types.

    None for an image without an index, which has no attestations.

    Raises NotFound, PermissionDenied, Unavailable, Corrupt, Unsupported (too large), Cancelled.
    """
    data = resolver.document(image.digest, reference, cancel)
    index = parse_manifest(data)
    if not isinstance(index, Index):
        return None
    chain = _Chain(resolver, reference, cancel)
    chain.add(Descriptor(index.media_type, image.digest, len(data)), is_manifest=True)
    found = AttestationChain(root=image.digest, image_manifest=image.own)
    attested = next((d for d in index.manifests if _is_about(d, image.own)), None)
    if attested is not None:
        signature = chain.signature(attested.digest)
        found = found._replace(
            attestation_manifest=attested.digest,
            signature_manifests=() if signature is None else (signature.digest,),
        )
        for layer in chain.layers(attested):
            if dict(layer.annotations).get(PREDICATE_TYPE) in predicates:
                chain.add(layer)
        for layer in () if signature is None else chain.layers(signature):
            chain.add(layer)
    return found._replace(blobs=tuple(sorted(chain.blobs.items())))


class _Chain:
    """The blobs so far."""

    def __init__(self, resolver: ImageResolver, reference: Reference, cancel: Cancellation) -> None:
        self._resolver = resolver
        self._reference = reference
        self._cancel = cancel
        self._left = _LIMIT
        self.blobs: dict[str, Blob] = {}

    def add(self, one: Descriptor, *, is_manifest: bool = False) -> bytes:
        name = self._reference.familiar
        if one.digest not in self.blobs:
            self._left -= max(one.size, 0)
        if self._left < 0:
            raise Unsupported(f"{name}: its attestations are larger than {_LIMIT} bytes")
        described = None if is_manifest else one
        data = self._resolver.document(one.digest, self._reference, self._cancel, described)
        if len(data) != one.size:
            raise Corrupt(f"{name}: {one.digest} has {len(data)} bytes, not {one.size}")
        descriptor = wire.Descriptor(one.media_type, one.digest, one.size, one.annotations)
        self.blobs[one.digest] = Blob(descriptor, data)
        return data

    def layers(self, manifest: Descriptor) -> tuple[Descriptor, ...]:
        """Add a manifest. Returns its layers."""
        document = parse_manifest(self.add(manifest, is_manifest=True), manifest.media_type)
        return document.layers if isinstance(document, Manifest) else ()

    def signature(self, digest: Digest) -> Descriptor | None:
        found = self._resolver.referrers(self._reference, digest, self._cancel)
        signed = [one for one in found if one.artifact_type in _SIGNATURES]
        return min(signed, key=lambda one: _SIGNATURES.index(one.artifact_type), default=None)


def _is_about(one: Descriptor, image: Digest) -> bool:
    annotations = dict(one.annotations)
    return annotations.get(_KIND) == _ATTESTATIONS and annotations.get(_SUBJECT) == image

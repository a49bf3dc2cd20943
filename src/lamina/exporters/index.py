"""Indexes of manifests that registries already have (buildx's `imagetools create`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lamina.base import oci
from lamina.base.digest import Digest, digest_of
from lamina.base.errors import InvalidInput, NotFound
from lamina.base.gojson import encode_indented
from lamina.base.json_document import load_json_object
from lamina.base.named_tuple import NamedTuple
from lamina.base.oci import Descriptor, Index, parse_manifest
from lamina.base.platform import Platform, normalise

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lamina.base.reference import Reference
    from lamina.registry.client import RegistryClient
    from lamina.system.cancel import Cancellation

_ATTESTATION_OF = "vnd.docker.reference.digest"
_ATTESTATION_TYPE = "vnd.docker.reference.type"
_ATTESTATION_MANIFEST = "attestation-manifest"
_ATTESTATION_ARTIFACT = "application/vnd.docker.attestation.manifest.v1+json"
_UNKNOWN = Platform("unknown", "unknown")
_DOCKER = "application/vnd.docker."


class Described(NamedTuple):
    """The members of a descriptor that somebody wrote."""

    media_type: str = ""
    size: int = 0
    annotations: tuple[tuple[str, str], ...] = ()
    platform: Platform | None = None


class Source(NamedTuple):
    """A manifest or an index in a repository. What `described` says replaces what is there."""

    reference: Reference
    described: Described | None = None


class IndexAnnotations(NamedTuple):
    """Annotations of an index as (name, value), and of its entries as (platform, name, value).

    The platform "" means all entries.
    """

    whole: tuple[tuple[str, str], ...] = ()
    entries: tuple[tuple[str, str, str], ...] = ()


class Combined(NamedTuple):
    """A document for a name: its descriptor and bytes, and the locations of what it refers to."""

    target: Descriptor
    data: bytes
    homes: dict[Digest, Reference]


def combine(
    client: RegistryClient,
    sources: Sequence[Source],
    cancel: Cancellation,
    *,
    annotations: IndexAnnotations = IndexAnnotations(),  # noqa: B008 -- immutable
    prefer_index: bool = True,
    platforms: Sequence[Platform] = (),
) -> Combined:
    """One index of the manifests of all sources.

    A single index is used unchanged if there are no annotations, and a single manifest unless
    `prefer_index`. Annotations are only for OCI indexes.

    Args:
        platforms: only manifests for these, and their attestations; none for all.

    Raises NotFound, PermissionDenied, Unavailable, Corrupt, InvalidInput.
    """
    if not sources:
        raise InvalidInput("an index needs at least one source")
    homes: dict[Digest, Reference] = {}
    entries: dict[Digest, Descriptor] = {}
    for source in sources:
        descriptor, data = _fetched(client, source, cancel)
        homes[descriptor.digest] = source.reference
        document = parse_manifest(data, descriptor.media_type)
        if isinstance(document, Index):
            homes.update((entry.digest, source.reference) for entry in document.manifests)
        alone = len(sources) == 1 and annotations == IndexAnnotations()
        if alone and (isinstance(document, Index) or not prefer_index):
            made = Combined(descriptor, data, homes)
            return _filtered(client, made, platforms, cancel)
        for entry in document.manifests if isinstance(document, Index) else (descriptor,):
            entries[entry.digest] = _merged(entries.get(entry.digest), entry)
    docker = all(entry.media_type.startswith(_DOCKER) for entry in entries.values())
    kept = IndexAnnotations() if docker else annotations
    described = tuple(_annotated(entry, kept.entries) for entry in entries.values())
    kind = oci.DOCKER_INDEX if docker else oci.OCI_INDEX
    index = Index(kind, described, tuple(sorted(kept.whole)))
    return _filtered(client, _made(index, homes), platforms, cancel)


def _fetched(
    client: RegistryClient, source: Source, cancel: Cancellation
) -> tuple[Descriptor, bytes]:
    """The descriptor and the bytes of a source; that of a manifest has a platform."""
    reference, described = source
    found = client.resolve(reference, cancel)._replace(annotations=())
    data = client.manifest(reference, found.digest, cancel)
    if described is not None:
        if described.size not in (0, found.size):
            raise InvalidInput(
                f"the size of {found.digest} is {found.size}, not {described.size}",
                hint="remove the size from the descriptor",
            )
        found = found._replace(
            media_type=described.media_type or found.media_type,
            annotations=described.annotations,
            platform=described.platform,
        )
    document = parse_manifest(data, found.media_type)
    if isinstance(document, Index) or (
        found.platform is not None and found.platform.os and found.platform.architecture
    ):
        return found, data
    config = b"".join(client.blob(reference, document.config, cancel=cancel))
    if digest_of(config) != document.config.digest:
        raise NotFound(f"{reference.familiar}: its image configuration is malformed")
    return found._replace(platform=_platform(config, found.platform)), data


def _platform(config: bytes, said: Platform | None) -> Platform:
    """The platform of an image configuration, with what a descriptor says about it."""
    found = normalise(oci.platform_from_json(load_json_object(config, "image config")))
    if said is None:
        return found
    return found._replace(**{key: value for key, value in said._asdict().items() if value})


def _merged(old: Descriptor | None, new: Descriptor) -> Descriptor:
    """An entry that several sources describe."""
    if old is None:
        return new
    return old._replace(
        media_type=old.media_type or new.media_type,
        platform=new.platform or old.platform,
        annotations=tuple({**dict(old.annotations), **dict(new.annotations)}.items()),
    )


def _annotated(entry: Descriptor, added: Iterable[tuple[str, str, str]]) -> Descriptor:
    annotations = dict(entry.annotations)
    for platform, key, value in added:
        if platform in ("", str(entry.platform)):
            annotations[key] = value
    return entry._replace(annotations=tuple(sorted(annotations.items())))


def _filtered(
    client: RegistryClient, made: Combined, platforms: Sequence[Platform], cancel: Cancellation
) -> Combined:
    """Only the manifests for some platforms, with their attestations.

    Attestations that a registry has as referrers become entries.
    """
    wanted = {_identity(platform) for platform in platforms}

    def matches(platform: Platform | None) -> bool:
        return not wanted or platform is None or _identity(platform) in wanted

    document = parse_manifest(made.data, made.target.media_type)
    if not isinstance(document, Index):
        if not matches(made.target.platform):
            raise InvalidInput(f"the image is for {made.target.platform}, which is not requested")
        return made
    by_digest = {str(entry.digest): entry for entry in document.manifests}
    subjects = {
        entry.digest: about
        for entry in document.manifests
        if dict(entry.annotations).get(_ATTESTATION_TYPE) == _ATTESTATION_MANIFEST
        and (about := dict(entry.annotations).get(_ATTESTATION_OF, "")) in by_digest
        and matches(by_digest[about].platform)
    }
    chosen = [e for e in document.manifests if e.digest in subjects or matches(e.platform)]
    if not chosen:
        raise NotFound("none of the manifests is for a requested platform")
    added = []
    for entry in chosen:
        if entry.digest in subjects or str(entry.digest) in subjects.values():
            continue
        home = made.homes.get(entry.digest) or made.homes[made.target.digest]
        for referrer in client.referrers(home, entry.digest, cancel):
            if referrer.artifact_type == _ATTESTATION_ARTIFACT and referrer.digest not in subjects:
                made.homes[referrer.digest] = home
                added.append(_attestation(referrer, entry))
                break
    if len(chosen) == len(document.manifests) and not added:
        return made
    index = document._replace(manifests=(*chosen, *added))
    return _made(index, made.homes)


def _identity(platform: Platform) -> tuple[str, str, str]:
    normal = normalise(platform)
    return normal.os, normal.architecture, normal.variant


def _attestation(referrer: Descriptor, subject: Descriptor) -> Descriptor:
    annotations = {
        **dict(referrer.annotations),
        _ATTESTATION_TYPE: _ATTESTATION_MANIFEST,
        _ATTESTATION_OF: str(subject.digest),
    }
    return referrer._replace(
        platform=_UNKNOWN, annotations=tuple(sorted(annotations.items())), artifact_type=""
    )


def _made(index: Index, homes: dict[Digest, Reference]) -> Combined:
    document: dict[str, Any] = index.to_json()
    data = encode_indented(document)
    return Combined(Descriptor(index.media_type, digest_of(data), len(data)), data, homes)


def publish(
    client: RegistryClient, made: Combined, names: Sequence[Reference], cancel: Cancellation
) -> None:
    """Push a document, with all that it refers to, under each name.

    Raises PermissionDenied, Unavailable.
    """
    from lamina.registry.copy import RemoteContent
    from lamina.registry.upload import Upload

    content = RemoteContent(client, made.homes, {made.target.digest: made.data})
    done: list[Reference] = []
    for name in names:
        Upload(client, name, made.target, content, mirrors=done).run(cancel)
        done.append(name)

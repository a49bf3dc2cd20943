"""Indexes of manifests that registries already have, for `imagetools create`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base import oci
from lamina.base.digest import Digest, digest_of
from lamina.base.errors import InvalidInput, NotFound
from lamina.base.gojson import encode_indented
from lamina.base.json_document import load_json_object
from lamina.base.named_tuple import NamedTuple
from lamina.base.oci import Descriptor, Index, parse_manifest
from lamina.base.platform import normalise

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lamina.base.reference import Reference
    from lamina.registry.client import RegistryClient
    from lamina.system.cancel import Cancellation

_ATTESTATION_OF = "vnd.docker.reference.digest"


class Combined(NamedTuple):
    """A document for a name: its descriptor and bytes, and the locations of what it refers to."""

    target: Descriptor
    data: bytes
    homes: dict[Digest, Reference]


def combine(
    client: RegistryClient,
    sources: Sequence[Reference],
    cancel: Cancellation,
    *,
    annotations: Sequence[tuple[str, str]] = (),
    descriptor_annotations: Sequence[tuple[str, str]] = (),
    prefer_index: bool = False,
) -> Combined:
    """One index of all manifests of the sources. Of two manifests for a platform, the later
    counts.

    A single source is used
    unchanged, unless
    annotations or
    `prefer_index` require a
    new index. Raises NotFound, PermissionDenied, Unavailable, Corrupt, InvalidInput.
    """
    if not sources:
        raise InvalidInput("an index needs at least one source")
    homes: dict[Digest, Reference] = {}
    entries: list[Descriptor] = []
    kept: list[tuple[str, str]] = []
    for source in sources:
        found = client.resolve(source, cancel)
        data = client.manifest(source, found.digest, cancel)
        homes[found.digest] = source
        document = parse_manifest(data, found.media_type)
        whole = not annotations and not descriptor_annotations
        if len(sources) == 1 and whole and (isinstance(document, Index) or not prefer_index):
            return Combined(found._replace(annotations=()), data, homes)
        if isinstance(document, Index):
            homes.update((entry.digest, source) for entry in document.manifests)
            entries += document.manifests
            kept += document.annotations
        else:
            config = b"".join(client.blob(source, document.config, cancel=cancel))
            if digest_of(config) != document.config.digest:
                raise NotFound(f"{source.familiar}: its image configuration is malformed")
            platform = None
            if document.config.media_type in (oci.OCI_CONFIG, oci.DOCKER_CONFIG):
                found_platform = oci.platform_from_json(load_json_object(config, "image config"))
                platform = normalise(found_platform)
            entries.append(found._replace(platform=platform))
    merged = _one_each(entries)
    if descriptor_annotations:
        added = dict(descriptor_annotations)
        merged = [
            entry._replace(annotations=tuple({**dict(entry.annotations), **added}.items()))
            for entry in merged
        ]
    docker = all(entry.media_type == oci.DOCKER_MANIFEST for entry in merged)
    every = {**dict(kept), **dict(annotations)}
    kind = oci.DOCKER_INDEX if docker and not every else oci.OCI_INDEX
    index = Index(kind, tuple(merged), tuple(sorted(every.items())))
    data = encode_indented(index.to_json())
    return Combined(Descriptor(kind, digest_of(data), len(data)), data, homes)


def _one_each(entries: Sequence[Descriptor]) -> list[Descriptor]:
    """The last manifest for each platform, with the attestations of that manifest."""
    latest: dict[str, Descriptor] = {}
    for entry in entries:
        about = dict(entry.annotations).get(_ATTESTATION_OF)
        name = str(entry.platform) if entry.platform and not about else str(entry.digest)
        latest[name] = entry
    present = {str(entry.digest) for entry in latest.values()}
    return [
        entry
        for entry in latest.values()
        if dict(entry.annotations).get(_ATTESTATION_OF, str(entry.digest)) in present
    ]


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

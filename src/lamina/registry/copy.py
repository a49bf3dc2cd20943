"""Images in registries as the content of pushes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from lamina.base.digest import Digest
    from lamina.base.oci import Descriptor
    from lamina.base.reference import Reference
    from lamina.registry.client import RegistryClient
    from lamina.system.cancel import Cancellation


class RemoteContent:
    """Implements `lamina.registry.upload.Content` with repositories.

    Args:
        homes: the repository of each manifest, which also has all that it refers to.
        made: new documents, which no repository has.
    """

    def __init__(
        self,
        client: RegistryClient,
        homes: Mapping[Digest, Reference],
        made: Mapping[Digest, bytes],
    ) -> None:
        self._client = client
        self._homes = dict(homes)
        self._made = made

    def document(self, descriptor: Descriptor, cancel: Cancellation) -> bytes:
        made = self._made.get(descriptor.digest)
        if made is not None:
            return made
        from lamina.base.oci import Index, parse_manifest

        home = self._homes[descriptor.digest]
        data = self._client.manifest(home, descriptor.digest, cancel)
        document = parse_manifest(data, descriptor.media_type)
        below = (
            document.manifests
            if isinstance(document, Index)
            else (document.config, *document.layers)
        )
        for part in below:
            self._homes.setdefault(part.digest, home)
        return data

    def chunks(
        self, descriptor: Descriptor, cancel: Cancellation, offset: int = 0
    ) -> Iterator[bytes]:
        return self._client.blob(self._homes[descriptor.digest], descriptor, offset, cancel)

    def repositories(self, descriptor: Descriptor) -> Sequence[Reference]:
        home = self._homes.get(descriptor.digest)
        return () if home is None else (home,)

"""The images of a local store, by name or digest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput, NotFound
from lamina.base.reference import parse_reference
from lamina.client.contract import ImageSummary
from lamina.client.stored import own_digest, platforms_of, total_size
from lamina.stores.images import NAMELESS, ImageTable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lamina.base.reference import Reference
    from lamina.stores.images import StoredImage
    from lamina.stores.store import Store

_SHORTEST = 4
"""How many characters of a digest name an image."""


class LocalImages:
    """The image table of a store, for commands."""

    def __init__(self, store: Store) -> None:
        self._blobs = store.blobs
        self._table = ImageTable(store.database)

    def get(self, reference: Reference) -> StoredImage | None:
        """The image with this name."""
        return self._table.get(str(reference))

    def summaries(self) -> Sequence[ImageSummary]:
        """All images, the newest first. An image with a name is not listed without one."""
        every = self._table.all()
        named = {i.target.digest for i in every if not i.name.startswith(NAMELESS)}
        return [
            self.summary(image)
            for image in every
            if not (image.name.startswith(NAMELESS) and image.target.digest in named)
        ]

    def remove(self, name: str) -> ImageSummary:
        """Remove a name. Raises as `find`."""
        image = self.find(name)
        self._table.remove(image.name)
        return self.summary(image)

    def named(self, names: Sequence[str]) -> list[tuple[StoredImage, list[str]]]:
        """The images of several names, each image once, with those names that are no digests.

        Raises as `find`.
        """
        found: dict[str, tuple[StoredImage, list[str]]] = {}
        for name in names:
            image = self.find(name)
            _, used = found.setdefault(str(image.target.digest), (image, []))
            try:
                full = str(parse_reference(name))
            except InvalidInput:
                continue
            if full == image.name:
                used.append(full)
        return list(found.values())

    def tag(self, name: str, new: str) -> None:
        """Give an image another name. Raises as `find`, and InvalidInput for a digest."""
        reference = parse_reference(new)
        if reference.digest is not None:
            raise InvalidInput(f"{new} is a digest, not a name")
        self._table.put(str(reference), self.find(name).target)

    def find(self, name: str) -> StoredImage:
        """Find an image by name, or by the (prefix of the) digest of its manifest or configuration.

        Raises NotFound, and InvalidInput if several images match.
        """
        try:
            found = self.get(parse_reference(name))
        except InvalidInput:
            found = None
        if found is not None:
            return found
        wanted = name.removeprefix("sha256:")
        matches: dict[str, StoredImage] = {}
        if len(wanted) >= _SHORTEST:
            for image in self._table.all():
                config = own_digest(self._blobs, image.target.digest).hex
                if image.target.digest.hex.startswith(wanted) or config.startswith(wanted):
                    matches.setdefault(str(image.target.digest), image)
        if len(matches) > 1:
            raise InvalidInput(f"{name} is a prefix of several images' digests")
        if not matches:
            raise NotFound(f"no image named {name}", hint="`lamina images` lists them")
        return next(iter(matches.values()))

    def summary(self, image: StoredImage) -> ImageSummary:
        digest = image.target.digest
        return ImageSummary(
            "" if image.name.startswith(NAMELESS) else image.name,
            str(own_digest(self._blobs, digest)),
            total_size(self._blobs, digest),
            image.created,
            ",".join(map(str, platforms_of(self._blobs, digest))),
        )

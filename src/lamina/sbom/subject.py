"""What a document describes."""

from __future__ import annotations

from lamina.base.named_tuple import NamedTuple


class Subject(NamedTuple):
    """The described image or directory.

    `created` is the time of the document in seconds since 1970. `version` is a digest, "" if there
    is none. `layers` are the digests of the layers by number. `container` is whether it is an
    image.
    """

    name: str
    created: float
    version: str = ""
    layers: tuple[str, ...] = ()
    container: bool = True

    def layer(self, number: int | None) -> str:
        """The digest of a layer, "" if it is unknown."""
        return "" if number is None or number >= len(self.layers) else self.layers[number]

"""Caches of other machines, matched with the keys of this build."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.digest import Digest
from lamina.base.named_tuple import NamedTuple
from lamina.cacheio.cache_config import CREATED_AT, DESCRIPTION, UNCOMPRESSED
from lamina.solver.key import CONTENT_OUTPUT, record_digest

if TYPE_CHECKING:
    from lamina.base.oci import Descriptor
    from lamina.cacheio.cache_config import CacheConfig
    from lamina.solver.chain import KeyStructures
    from lamina.solver.key import CacheKey
    from lamina.stores.origins import Origin


class ImportedLayer(NamedTuple):
    """A blob at an origin. `made` is in RFC 3339. `description` is that of the step, "" if
    unknown."""

    descriptor: Descriptor
    diff_id: Digest
    made: str
    description: str


class ImportedCache:
    """One cache config, and the origin of its blobs."""

    def __init__(self, config: CacheConfig, origin: Origin) -> None:
        self._config = config
        self.origin = origin
        self._by_digest: dict[Digest, list[int]] = {}
        for number, record in enumerate(config.records):
            self._by_digest.setdefault(record.digest, []).append(number)

    def find(
        self, key: CacheKey, output: int, known: KeyStructures
    ) -> tuple[ImportedLayer, ...] | None:
        """The layers of a result with an equal key, lowest first."""
        matcher = _Matcher(self._config, self._by_digest, known)
        for number in sorted(matcher.form(key, output)):
            for result in self._config.records[number].results:
                layers = [self._layer(index) for index in result.layers]
                if layers and all(layer.diff_id for layer in layers):
                    return tuple(layers)
        return None

    def has_seen(self, key: CacheKey, output: int, known: KeyStructures) -> bool:
        """Whether a record exists for a key, with or without results."""
        return bool(_Matcher(self._config, self._by_digest, known).form(key, output))

    def contents(self, key: CacheKey, output: int, known: KeyStructures) -> dict[int, set[Digest]]:
        """By input: the records of content digests that are recorded for it, under an equal key.

        The contents themselves are not known here, because the steps that read them have not run.
        """
        matcher = _Matcher(self._config, self._by_digest, known)
        found: dict[int, set[Digest]] = {}
        for form in (key, *known.structures(key.id)):
            for number in matcher.form(form, output):
                for index, links in enumerate(self._config.records[number].inputs):
                    for link in links:
                        source = self._config.records[link.record]
                        if not source.inputs and not link.selector:
                            found.setdefault(index, set()).add(source.digest)
        return found

    def _layer(self, index: int) -> ImportedLayer:
        descriptor = self._config.layers[index]
        notes = dict(descriptor.annotations)
        diff_id = Digest(notes.get(UNCOMPRESSED, ""))
        return ImportedLayer(
            descriptor._replace(annotations=()),
            diff_id,
            notes.get(CREATED_AT, ""),
            notes.get(DESCRIPTION, ""),
        )


class _Matcher:
    """One lookup: which records match which keys."""

    def __init__(
        self, config: CacheConfig, by_digest: dict[Digest, list[int]], known: KeyStructures
    ) -> None:
        self._records = config.records
        self._by_digest = by_digest
        self._known = known
        self._memo: dict[tuple[Digest, int], frozenset[int]] = {}

    def form(self, key: CacheKey, output: int) -> set[int]:
        """The records that one form of a key matches."""
        found = set()
        for number in self._by_digest.get(record_digest(key.digest, output), ()):
            record = self._records[number]
            if len(record.inputs) != len(key.inputs):
                continue
            if all(
                self._linked(record.inputs[index], part.key, part.output, part.selector)
                for index, part in enumerate(key.inputs)
            ):
                found.add(number)
        return found

    def _linked(self, links: tuple[object, ...], key: Digest, output: int, selector: str) -> bool:
        wanted = "" if output == CONTENT_OUTPUT else selector
        matching = self._matches(key, output)
        return any(link == (number, wanted) for link in links for number in matching)

    def _matches(self, key_id: Digest, output: int) -> frozenset[int]:
        place = (key_id, output)
        if place not in self._memo:
            self._memo[place] = frozenset()  # keys have no loops, but those of a damaged store may
            found: set[int] = set()
            for form in self._known.structures(key_id):
                found |= self.form(form, output)
            self._memo[place] = frozenset(found)
        return self._memo[place]

"""Matching imported caches with the keys of a build."""

from __future__ import annotations

from lamina.base.digest import Digest, digest_of
from lamina.base.oci import Descriptor
from lamina.cacheio.cache_config import UNCOMPRESSED, CacheConfig, Link, Record, Result
from lamina.cacheio.imported import ImportedCache
from lamina.solver.key import CacheKey, KeyInput, make_key, record_digest
from lamina.stores.origins import Origin, OriginKind

BY_LAYERS, BY_MANIFEST, COMMAND = (digest_of(name) for name in (b"layers", b"manifest", b"run"))
LAYER = Descriptor("application/vnd.oci.image.layer.v1.tar", digest_of(b"l"), 1)
LAYER = LAYER._replace(annotations=((UNCOMPRESSED, digest_of(b"l")),))


class Forms(dict[Digest, list[CacheKey]]):
    def structures(self, key_id: Digest) -> list[CacheKey]:
        return self.get(key_id, [])


def test_an_image_is_found_by_any_of_its_names() -> None:
    image = make_key(BY_LAYERS)
    command = make_key(COMMAND, [KeyInput(image.id, 0, "s")])
    known = Forms({image.id: [image, image._replace(digest=BY_MANIFEST)]})
    for name, found in ((BY_LAYERS, True), (BY_MANIFEST, True), (COMMAND, False)):
        records = (
            Record(record_digest(name, 0)),
            Record(record_digest(COMMAND, 0), ((Link(0, "s"),),), (Result((0,), ""),)),
        )
        cache = ImportedCache(CacheConfig((LAYER,), (-1,), records), Origin(OriginKind.CACHE, ""))
        assert (cache.find(command, 0, known) is not None) is found

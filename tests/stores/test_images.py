"""Names of images, and known digests of repositories."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.digest import digest_of
from lamina.base.oci import OCI_MANIFEST, Descriptor
from lamina.stores.database import Database
from lamina.stores.images import ImageTable

if TYPE_CHECKING:
    from pathlib import Path


def test_a_digest_is_known_in_the_repositories_that_have_it(tmp_path: Path) -> None:
    index, manifest, built = (digest_of(text) for text in (b"index", b"manifest", b"built"))
    database = Database(str(tmp_path / "meta.db"))
    try:
        images = ImageTable(database)
        images.record_pull("example.org/one:latest", "linux/amd64", index, manifest)
        images.put("example.org/two:v1", Descriptor(OCI_MANIFEST, built, 5))
        for digest, owner in ((index, "one"), (manifest, "one"), (built, "two")):
            for name in ("one", "two", "on", "one/more"):
                assert images.known(f"example.org/{name}", digest) is (name == owner)
        images.forget_names()
        assert not images.known("example.org/two", built)
        assert images.all() == []
    finally:
        database.close()

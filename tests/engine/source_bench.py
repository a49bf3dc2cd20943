"""The environment for tests of sources: a repository in a registry, and a client that provides
blobs."""

from __future__ import annotations

import io
import json
import tarfile
import urllib.request
from typing import TYPE_CHECKING, Any, NamedTuple

from lamina.base.digest import digest_of
from lamina.base.errors import NotFound
from lamina.base.oci import (
    INDEX_TYPES,
    MANIFEST_TYPES,
    OCI_CONFIG,
    OCI_LAYER,
    OCI_MANIFEST,
    Descriptor,
    Manifest,
    platform_to_json,
)
from lamina.base.platform import host_platform
from lamina.client.contract import SessionProviders
from lamina.client.providers import EmbeddedSession
from lamina.engine.build import BuildOptions
from lamina.llb.op import Op, SourceOp
from lamina.llb.state import Vertex, marshal
from lamina.system.cancel import Cancellation
from tests.real_registry import put_blob, put_manifest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lamina.base.digest import Digest
    from lamina.llb.op import Definition
    from tests.engine.conftest import Bench


class Repository(NamedTuple):
    """A repository in a running registry."""

    host: str
    path: str = "some/thing"

    @property
    def name(self) -> str:
        return f"{self.host}/{self.path}"

    def blob(self, data: bytes, kind: str = "application/octet-stream") -> Descriptor:
        return Descriptor(kind, put_blob(self.host, self.path, data), len(data))

    def manifest(self, document: dict[str, Any], tag: str = "") -> Descriptor:
        digest = put_manifest(self.host, self.path, document, tag)
        return Descriptor(document["mediaType"], digest, len(self.fetched(digest)))

    def fetched(self, manifest: Digest) -> bytes:
        """The bytes of a manifest, read from the registry directly."""
        url = f"http://{self.host}/v2/{self.path}/manifests/{manifest}"
        accept = {"Accept": ", ".join((*INDEX_TYPES, *MANIFEST_TYPES))}
        with urllib.request.urlopen(urllib.request.Request(url, headers=accept)) as answer:
            return bytes(answer.read())

    def image(self, text: str, tag: str = "") -> Digest:
        """Upload an image with one file, `f`; the manifest's digest."""
        held = io.BytesIO()
        with tarfile.open(fileobj=held, mode="w") as archive:
            entry = tarfile.TarInfo("f")
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
        layer = self.blob(held.getvalue(), OCI_LAYER)
        config = {
            **platform_to_json(host_platform()),
            "rootfs": {"type": "layers", "diff_ids": [layer.digest]},
        }
        described = self.blob(json.dumps(config).encode(), OCI_CONFIG)
        manifest = Manifest(OCI_MANIFEST, described, (layer,)).to_json()
        return put_manifest(self.host, self.path, manifest, tag)


def source(identifier: str, **attrs: str) -> Definition:
    named = {key.replace("_", "."): value for key, value in attrs.items()}
    return marshal(Vertex(Op(source=SourceOp(identifier, tuple(sorted(named.items()))))).output())


class ServedRequest(EmbeddedSession):
    """Provides one content store, `shop`."""

    def __init__(self, *blobs: bytes) -> None:
        super().__init__({}, SessionProviders())
        self.blobs = {digest_of(data): data for data in blobs}

    def content(self, store: str) -> Any:
        assert store == "oci:shop"
        return self

    def size(self, digest: Digest, cancel: Cancellation) -> int:
        if digest not in self.blobs:
            raise NotFound(f"no {digest}")
        return len(self.blobs[digest])

    def read(
        self, digest: Digest, cancel: Cancellation, *, offset: int = 0, size: int = 0
    ) -> Iterator[bytes]:
        yield self.blobs[digest][offset:]


def entries(bench: Bench, session: EmbeddedSession, definition: Definition) -> dict[str, Any]:
    """The files that a definition makes: text, mode, owner and time of each."""
    with bench.engine.open_build(session, BuildOptions(), print, Cancellation()) as build:
        tree = bench.engine.refs.tree(build.solvable(definition).ref(), build.cancel)
        found = {}
        for path, status in tree.children(""):
            with open(tree.real(path), encoding="utf-8") as file:
                owner = (status.st_uid, status.st_gid)
                found[path] = (file.read(), status.st_mode & 0o7777, *owner, status.st_mtime)
        return found

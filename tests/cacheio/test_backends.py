"""One suite for all cache backends: registries, directories and object stores."""

from __future__ import annotations

import json
import threading
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import pytest

from lamina.base import oci
from lamina.base.digest import Digest, digest_of
from lamina.base.errors import LaminaError, NotFound
from lamina.base.oci import Descriptor
from lamina.base.reference import parse_reference
from lamina.cacheio.backend import FolderBackend, RegistryBackend
from lamina.cacheio.economics import TransferRate
from lamina.cacheio.export import MadeContent
from lamina.cacheio.guarded import Breaker, GuardedBackend
from lamina.cacheio.object_backend import ObjectBackend
from lamina.cacheio.object_options import ObjectLocation
from lamina.cacheio.options import FolderLocation
from lamina.objectstores.opening import open_store
from lamina.registry.client import RegistryClient
from lamina.registry.credentials import Anonymous
from lamina.registry.transport import RetryPolicy
from lamina.system.cancel import Cancellation
from tests.actions_server import running_actions
from tests.object_servers import running_moto
from tests.real_registry import running_registry

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from lamina.base.reference import Reference
    from lamina.cacheio.backend import Backend
    from lamina.objectstores.opening import StoreConfig
    from lamina.objectstores.s3 import S3Config
    from lamina.registry.upload import Content


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Config]:
    with running_moto(tmp_path_factory.mktemp("moto")) as running:
        yield running


@pytest.fixture(params=["registry", "folder", "s3", "actions"])
def backend(
    request: pytest.FixtureRequest, host: str, bucket: S3Config, tmp_path: Path
) -> Iterator[Backend]:
    if request.param == "folder":
        yield FolderBackend(FolderLocation(str(tmp_path / "cache"), "t"))
        return
    if request.param == "s3":
        with _in_store(bucket, digest_of(request.node.name.encode()).hex[:12] + "/") as opened:
            yield opened
        return
    if request.param == "actions":
        with running_actions(tmp_path) as config, _in_store(config, "") as opened:
            yield opened
        return
    name = f"{host}/{digest_of(request.node.name.encode()).hex[:12]}:t"
    with RegistryClient(credentials=Anonymous(), retry_policy=RetryPolicy(pause=0.02)) as client:
        yield RegistryBackend(client, parse_reference(name))


@contextmanager
def _in_store(config: StoreConfig, prefix: str) -> Iterator[Backend]:
    location = ObjectLocation(config, f"{prefix}m/", f"{prefix}b/", ("t",))
    with closing(open_store(config, RetryPolicy(pause=0.02))) as store:
        yield GuardedBackend(ObjectBackend(store, location), Breaker(), TransferRate())


CANCEL = Cancellation()


class Kept:
    """A manifest with blobs, and the arguments that a backend needs to store it."""

    def __init__(self, *blobs: bytes) -> None:
        self.blobs = [Descriptor("application/x", digest_of(blob), len(blob)) for blob in blobs]
        manifest = oci.Manifest(oci.OCI_MANIFEST, self.blobs[0], tuple(self.blobs[1:]))
        self.data = json.dumps(manifest.to_json()).encode()
        self.target = Descriptor(oci.OCI_MANIFEST, digest_of(self.data), len(self.data))
        made = {digest_of(blob): blob for blob in (*blobs, self.data)}
        self.content: Content = MadeContent(_Nothing(), made)

    def put(self, backend: Backend, part: str) -> None:
        backend.stage(part, self.blobs, self.content, CANCEL)
        backend.name(part, self.target, self.content, CANCEL)


class _Nothing:
    def document(self, descriptor: Descriptor, cancel: Cancellation) -> bytes:
        raise NotFound("nothing")

    def chunks(
        self, descriptor: Descriptor, cancel: Cancellation, offset: int = 0
    ) -> Iterator[bytes]:
        raise NotFound("nothing")

    def repositories(self, descriptor: Descriptor) -> Sequence[Reference]:
        return ()


def test_an_empty_backend_has_no_manifests(backend: Backend) -> None:
    assert backend.label
    with pytest.raises(NotFound):
        backend.manifest("", CANCEL)
    with pytest.raises(NotFound):
        backend.manifest("part", CANCEL)
    assert not backend.has(Descriptor("application/x", digest_of(b"no"), 2), CANCEL)


def test_blobs_that_are_put_are_found(backend: Backend) -> None:
    kept = Kept(b"{}", b"layer", b"x" * 100_000)
    kept.put(backend, "")
    assert backend.manifest("", CANCEL) == (kept.target.digest, kept.data)
    assert backend.document(kept.target, CANCEL) == kept.data
    for blob, data in zip(kept.blobs, (b"{}", b"layer", b"x" * 100_000), strict=True):
        assert backend.has(blob, CANCEL)
        assert b"".join(backend.blob(blob, CANCEL)) == data
    kept.put(backend, "")


def test_parts_have_separate_manifests(backend: Backend) -> None:
    one, two, three = Kept(b"1"), Kept(b"2"), Kept(b"3")
    one.put(backend, "")
    two.put(backend, "mount-a")
    three.put(backend, "mount-a.1")
    assert backend.manifest("", CANCEL)[0] == one.target.digest
    assert backend.manifest("mount-a", CANCEL)[0] == two.target.digest
    assert backend.manifest("mount-a.1", CANCEL)[0] == three.target.digest
    three.put(backend, "")
    assert backend.manifest("", CANCEL)[0] == three.target.digest
    assert backend.manifest("mount-a", CANCEL)[0] == two.target.digest


def test_staged_blobs_are_no_manifest(backend: Backend) -> None:
    kept = Kept(b"staged", b"only")
    backend.stage("", kept.blobs, kept.content, CANCEL)
    assert backend.has(kept.blobs[1], CANCEL)
    with pytest.raises(NotFound):
        backend.manifest("", CANCEL)


def test_a_manifest_without_its_blobs_is_refused(backend: Backend) -> None:
    kept = Kept(b"never", b"sent")
    Kept(b"else").put(backend, "other")
    with pytest.raises(LaminaError) as caught:
        backend.name("", kept.target, kept.content, CANCEL)
    assert caught.value.kind in ("not found", "unavailable")
    with pytest.raises(NotFound):
        backend.manifest("", CANCEL)


def test_a_blob_that_is_not_there(backend: Backend) -> None:
    Kept(b"some").put(backend, "")
    with pytest.raises(NotFound):
        b"".join(backend.blob(Descriptor("application/x", Digest("sha256:" + "0" * 64), 5), CANCEL))


def test_many_writers_of_many_parts(backend: Backend) -> None:
    errors: list[BaseException] = []

    def write(number: int) -> None:
        try:
            Kept(b"shared", b"%d" % number).put(backend, f"part-{number}")
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    for number in range(12):
        expected = Kept(b"shared", b"%d" % number).target.digest
        assert backend.manifest(f"part-{number}", CANCEL)[0] == expected

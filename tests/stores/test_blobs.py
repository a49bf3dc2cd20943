from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lamina.base.digest import Digest, digest_of
from lamina.base.errors import Cancelled, Corrupt, NotFound
from lamina.base.oci import OCI_LAYER, Descriptor
from lamina.stores.blobs import BlobStore
from lamina.system.cancel import Cancellation

if TYPE_CHECKING:
    from pathlib import Path

    from lamina.stores.blobs import BlobWriter


@pytest.fixture
def store(tmp_path: Path) -> BlobStore:
    return BlobStore(str(tmp_path / "store"))


def describe(data: bytes) -> Descriptor:
    return Descriptor(OCI_LAYER, digest_of(data), len(data))


def leftovers(store: BlobStore) -> list[str]:
    return os.listdir(store._ingest)


@pytest.mark.parametrize("durable", [False, True])
def test_put_and_read(tmp_path: Path, durable: bool) -> None:
    store = BlobStore(str(tmp_path), durable=durable)
    digest = store.put(b"hello")
    assert store.put(b"hello") == digest == digest_of(b"hello")
    assert store.has(digest)
    assert store.size(digest) == 5
    assert store.read(digest) == b"hello"
    with store.open(digest) as file:
        assert file.read() == b"hello"
    assert store.path(digest) == f"{tmp_path}/blobs/sha256/{digest.hex}"
    assert os.stat(store.path(digest)).st_mode & 0o7777 == 0o644
    assert list(store.digests()) == [digest]
    assert not leftovers(store)
    store.remove(digest)
    store.remove(digest)
    assert not store.has(digest)
    for call in (store.size, store.open, store.read):
        with pytest.raises(NotFound):
            call(digest)


def test_read_checks(store: BlobStore) -> None:
    digest = store.put(b"hello")
    with pytest.raises(Corrupt):
        store.read(digest, limit=4)
    with open(store.path(digest), "wb") as file:
        file.write(b"jello")
    with pytest.raises(Corrupt):
        store.read(digest)


@settings(max_examples=30)
@given(parts=st.lists(st.binary(max_size=50), max_size=8))
def test_ingest_in_any_pieces(tmp_path_factory: pytest.TempPathFactory, parts: list[bytes]) -> None:
    store = BlobStore(str(tmp_path_factory.mktemp("blobs")))
    whole = b"".join(parts)
    for part in parts:
        with store.ingest(describe(whole)) as writer:
            assert whole[: writer.offset] + part == whole[: writer.offset + len(part)]
            writer.write(part)
    with store.ingest(describe(whole)) as writer:
        assert writer.offset == len(whole)
        assert writer.commit() == digest_of(whole)
    assert store.read(digest_of(whole)) == whole
    assert not leftovers(store)


def test_ingest_of_a_whole_blob_is_done(store: BlobStore) -> None:
    store.put(b"abc")
    with store.ingest(describe(b"abc")) as writer:
        assert writer.offset == 3
        assert writer.commit() == digest_of(b"abc")
    assert not leftovers(store)


def test_ingest_rejects_wrong_bytes(store: BlobStore) -> None:
    with store.ingest(describe(b"abc")) as writer:
        writer.write(b"abd")
        with pytest.raises(Corrupt, match="does not match"):
            writer.commit()
    assert not leftovers(store)
    with store.ingest(describe(b"abc")) as writer:
        writer.write(b"ab")
        with pytest.raises(Corrupt, match="2 of 3"):
            writer.commit()
    with store.ingest(describe(b"abc")) as writer:
        assert writer.resumed
        with pytest.raises(Corrupt, match="larger"):
            writer.write(b"cd")
    assert not leftovers(store)
    assert not store.has(digest_of(b"abc"))


def test_a_wrong_part_of_an_earlier_attempt_is_asked_for_again(store: BlobStore) -> None:
    with store.ingest(describe(b"abc")) as writer:
        writer.write(b"x")
    begun: list[int] = []

    def bring(writer: BlobWriter) -> None:
        begun.append(writer.offset)
        writer.write(b"abc"[writer.offset :])

    store.receive(describe(b"abc"), bring)
    assert begun == [1, 0]
    assert store.read(digest_of(b"abc")) == b"abc"
    assert not leftovers(store)


def test_wrong_bytes_are_not_asked_for_again(store: BlobStore) -> None:
    begun: list[int] = []

    def bring(writer: BlobWriter) -> None:
        begun.append(writer.offset)
        writer.write(b"abd")

    with pytest.raises(Corrupt, match="does not match"):
        store.receive(describe(b"abc"), bring)
    assert begun == [0]
    assert not leftovers(store)


def test_sha512(store: BlobStore) -> None:
    import hashlib

    digest = Digest("sha512:" + hashlib.sha512(b"abc").hexdigest())
    with store.ingest(Descriptor(OCI_LAYER, digest, 3)) as writer:
        writer.write(b"abc")
        writer.commit()
    assert store.read(digest) == b"abc"
    assert list(store.digests()) == [digest]


def test_second_writer_waits_and_finds_it_done(store: BlobStore) -> None:
    seen: list[int] = []
    first = store.ingest(describe(b"abc"))

    def second() -> None:
        with store.ingest(describe(b"abc")) as writer:
            seen.append(writer.offset)

    thread = threading.Thread(target=second)
    thread.start()
    first.write(b"abc")
    assert not seen
    first.commit()
    thread.join()
    assert seen == [3]


def test_waiting_can_be_cancelled(store: BlobStore) -> None:
    cancel = Cancellation()
    with store.ingest(describe(b"abc")):
        threading.Timer(0.05, cancel.cancel).start()
        with pytest.raises(Cancelled):
            store.ingest(describe(b"abc"), cancel)


def test_draft(store: BlobStore) -> None:
    with store.create() as draft:
        with open(draft.path, "wb") as file:
            file.write(b"packed")
        draft.commit(digest_of(b"packed"), 6)
    assert store.read(digest_of(b"packed")) == b"packed"
    with store.create() as draft:
        draft.write(b"gone")
    with store.create() as draft:
        draft.write(b"short")
        with pytest.raises(Corrupt):
            draft.commit(digest_of(b"shorter"), 7)
    assert not leftovers(store)


def test_adopt(store: BlobStore, tmp_path: Path) -> None:
    made = tmp_path / "made"
    made.write_bytes(b"x")
    store.adopt(str(made), digest_of(b"x"))
    assert not made.exists()
    assert store.read(digest_of(b"x")) == b"x"


def test_killed_writer_leaves_a_partial_to_go_on_from(tmp_path: Path) -> None:
    code = """
import os, signal, sys
from lamina.base.digest import digest_of
from lamina.base.oci import Descriptor
from lamina.stores.blobs import BlobStore
store = BlobStore(sys.argv[1])
draft = store.create(); draft.write(b"never finished")
writer = store.ingest(Descriptor("x", digest_of(b"abcdef"), 6)); writer.write(b"abc")
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert done.returncode == -signal.SIGKILL
    store = BlobStore(str(tmp_path))
    assert len(leftovers(store)) == 2
    with store.ingest(describe(b"abcdef")) as writer:
        assert writer.offset == 3
        assert len(leftovers(store)) == 1
        assert store.sweep(0) == 0  # locked: another writer has it
    store.sweep(0)
    assert not leftovers(store)


def test_remove_since(store: BlobStore) -> None:
    old = store.put(b"old")
    moment = os.stat(store.path(old)).st_ctime
    assert store.remove_since(moment + 1000) == 0
    assert store.remove_since(moment) == 1
    assert not store.has(old)

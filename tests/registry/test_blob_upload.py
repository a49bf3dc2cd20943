"""Uploads in chunks: to a server that follows the specification, and through a proxy to a real
registry."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Any

import pytest

from lamina.base.digest import digest_of
from lamina.base.errors import Unavailable
from lamina.base.oci import OCI_LAYER, Descriptor
from lamina.base.reference import parse_reference
from lamina.registry.blob_upload import BlobUpload
from lamina.registry.client import RegistryClient
from lamina.registry.credentials import Anonymous, Credentials
from lamina.system.cancel import Cancellation
from tests.registry import registry_server
from tests.registry.upload_server import UploadHandler, UploadServer

if TYPE_CHECKING:
    from collections.abc import Callable

    from lamina.registry.transport import RetryPolicy

CHUNK = 64 << 10
DATA = random.Random(7).randbytes(5 * CHUNK + 1000)
BLOB = Descriptor(OCI_LAYER, digest_of(DATA), len(DATA))


def send(host: str, retry_policy: RetryPolicy, path: str = "a", data: bytes = DATA) -> bool:
    blob = Descriptor(OCI_LAYER, digest_of(data), len(data))

    def content(offset: int) -> list[bytes]:
        # In pieces of other sizes than the chunks.
        return [data[at : at + 10_007] for at in range(offset, len(data), 10_007)]

    with RegistryClient(credentials=Anonymous(), retry_policy=retry_policy) as client:
        reference = parse_reference(f"{host}/{path}")
        return BlobUpload(client, reference, blob, content, Cancellation(), CHUNK).send()


def cut(after: int) -> Callable[[UploadHandler], bool]:
    """The server reads a part of the body, then the connection breaks."""

    def fault(handler: UploadHandler) -> bool:
        handler.take(after)
        handler.hang_up()
        return True

    return fault


def answer(code: int, **headers: str) -> Callable[[UploadHandler], bool]:
    def fault(handler: UploadHandler) -> bool:
        handler.body()
        handler.reply(code, **headers)
        return True

    return fault


def forget(handler: UploadHandler) -> bool:
    del handler.owner.uploads[handler.name]
    return False


def lose_the_answer(handler: UploadHandler) -> bool:
    handler.take()
    handler.hang_up()
    return True


def well(handler: UploadHandler) -> bool:
    return False


def test_chunks_one_after_another(retry_policy: RetryPolicy) -> None:
    with UploadServer() as server:
        assert send(server.host, retry_policy)
        assert server.seen == ["POST", *["PATCH"] * 6, "PUT"]
        assert server.blobs[BLOB.digest] == DATA


@pytest.mark.parametrize(
    ("fault", "most"),
    [
        (cut(0), len(DATA)),
        (cut(30_000), len(DATA)),
        (lose_the_answer, len(DATA)),
        (answer(500), len(DATA)),
        (answer(416), len(DATA)),
        (answer(429, Retry_After="0"), len(DATA)),
        (forget, len(DATA) + CHUNK),
    ],
)
@pytest.mark.parametrize("before", [0, 1, 4])
def test_an_interrupted_upload_resumes(
    fault: Callable[[UploadHandler], bool], most: int, before: int, retry_policy: RetryPolicy
) -> None:
    with UploadServer() as server:
        server.faults += [well] * before + [fault]
        assert send(server.host, retry_policy)
        assert server.blobs[BLOB.digest] == DATA
        assert server.received <= most + (before * CHUNK if fault is forget else 0)


def test_interruptions_with_progress_do_not_exhaust_retries(retry_policy: RetryPolicy) -> None:
    with UploadServer() as server:
        server.faults += [cut(20_000) for _ in range(12)]
        assert send(server.host, retry_policy)
        assert server.blobs[BLOB.digest] == DATA


def test_a_registry_that_never_takes_it(retry_policy: RetryPolicy) -> None:
    with UploadServer() as server:
        server.faults += [answer(500)] * 20
        with pytest.raises(Unavailable, match="500"):
            send(server.host, retry_policy)


def test_a_registry_without_chunks_gets_one_request(retry_policy: RetryPolicy) -> None:
    with UploadServer(chunks=False) as server:
        assert send(server.host, retry_policy)
        assert server.seen == ["POST", "PATCH", "POST", "PUT"]
        assert server.blobs[BLOB.digest] == DATA


def test_a_registry_may_want_larger_chunks(retry_policy: RetryPolicy) -> None:
    with UploadServer(least=3 * CHUNK) as server:
        assert send(server.host, retry_policy)
        assert server.seen == ["POST", "PATCH", "PATCH", "PUT"]


@pytest.mark.parametrize("size", [1, CHUNK - 1, CHUNK])
def test_small_blobs_are_one_request(size: int, retry_policy: RetryPolicy) -> None:
    with UploadServer() as server:
        assert send(server.host, retry_policy, data=DATA[:size])
        assert server.seen == ["POST", "PUT"]


def test_a_lost_last_response_is_no_failure(retry_policy: RetryPolicy) -> None:
    def done_but_silent(handler: UploadHandler) -> bool:
        handler.owner.blobs[BLOB.digest] = DATA
        del handler.owner.uploads[handler.name]
        handler.hang_up()
        return True

    with UploadServer() as server:
        server.faults += [well] * 6 + [done_but_silent]
        assert send(server.host, retry_policy)
        assert server.seen == ["POST", *["PATCH"] * 6, "PUT"]


def test_retry_after_is_obeyed_and_not_for_ever(retry_policy: RetryPolicy) -> None:
    with UploadServer() as server:
        server.faults.append(answer(429, Retry_After="1"))
        begun = time.monotonic()
        assert send(server.host, retry_policy)
        assert time.monotonic() - begun >= 1
        server.faults.append(answer(503, Retry_After="3600"))
        with pytest.raises(Unavailable, match="3600"):
            send(server.host, retry_policy, data=DATA[::-1])


@pytest.mark.parametrize(
    "fault",
    [
        registry_server.reset,
        registry_server.status(500),
        registry_server.status(429, Retry_After="0"),
        registry_server.truncate(0),
        registry_server.stall,
    ],
)
@pytest.mark.parametrize("where", ["POST", "PATCH", "PUT", "HEAD"])
def test_a_real_registry_behind_faults(
    fault: Callable[[registry_server.Handler], None],
    where: str,
    proxy: registry_server.FaultProxy,
    registry: Any,
    retry_policy: RetryPolicy,
) -> None:
    data = random.Random(f"{where}{fault}").randbytes(3 * CHUNK + 5)
    blob = Descriptor(OCI_LAYER, digest_of(data), len(data))
    proxy.fail(where, fault, times=2)
    proxy.fail("PATCH", registry_server.reset)
    assert send(proxy.host, retry_policy, "faults/app", data)
    with RegistryClient(credentials=Anonymous()) as client:
        there = parse_reference(f"{registry[0]}/faults/app")
        assert b"".join(client.blob(there, blob)) == data


class Login:
    def lookup(self, domain: str) -> Credentials:
        return Credentials("user", "secret")


@pytest.mark.parametrize("size", [1000, 3 * CHUNK])
def test_an_upload_to_another_host_sends_no_credentials(
    size: int, retry_policy: RetryPolicy
) -> None:
    with UploadServer() as elsewhere, UploadServer() as server:
        seen: dict[str, list[str]] = {"here": [], "elsewhere": []}
        server.watch = lambda handler: seen["here"].append(handler.headers["Authorization"] or "")
        elsewhere.watch = lambda handler: seen["elsewhere"].append(
            handler.headers["Authorization"] or ""
        )
        server.login = "Basic dXNlcjpzZWNyZXQ="
        server.uploads_at = elsewhere
        data = DATA[:size]
        blob = Descriptor(OCI_LAYER, digest_of(data), size)
        with RegistryClient(credentials=Login(), retry_policy=retry_policy) as client:
            reference = parse_reference(f"{server.host}/a")

            def content(offset: int) -> list[bytes]:
                return [data[offset:]]

            assert BlobUpload(client, reference, blob, content, Cancellation(), CHUNK).send()
        assert elsewhere.blobs[blob.digest] == data
        assert server.login in seen["here"]
        assert set(seen["elsewhere"]) == {""}

"""What a faulty object store may cost: a bounded time, and an error that says what happened."""

from __future__ import annotations

import os
import time
from contextlib import closing
from email.utils import formatdate
from typing import TYPE_CHECKING

import pytest

from lamina.base.errors import NotFound, PermissionDenied, Unavailable
from lamina.cacheio import guarded
from lamina.cacheio.economics import TransferRate
from lamina.cacheio.guarded import Breaker, GuardedBackend, TooSlow, limited
from lamina.cacheio.object_backend import ObjectBackend
from lamina.cacheio.object_options import ObjectLocation
from lamina.objectstores import service
from lamina.objectstores.opening import open_store
from lamina.registry.transport import RetryPolicy
from lamina.system.cancel import Cancellation
from tests.cacheio.test_backends import Kept
from tests.fault_proxy import Answer, Broken, FaultProxy, running_proxy
from tests.object_servers import running_s3rver

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lamina.cacheio.backend import Backend
    from lamina.objectstores.s3 import S3Config

CANCEL = Cancellation()
RETRIES = RetryPolicy(connect=5, read=1, attempts=6, pause=0.01, longest=0.05, retry_after=1.5)


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Config]:
    with running_s3rver(tmp_path_factory.mktemp("s3rver")) as running:
        yield running


@pytest.fixture
def proxy(bucket: S3Config) -> Iterator[FaultProxy]:
    with running_proxy(bucket.endpoint) as running:
        yield running


@pytest.fixture
def backend(
    bucket: S3Config, proxy: FaultProxy, request: pytest.FixtureRequest
) -> Iterator[Backend]:
    config = bucket._replace(endpoint=proxy.url)
    prefix = f"{request.node.name}/"
    location = ObjectLocation(config, f"{prefix}m/", f"{prefix}b/", ("n",))
    with closing(open_store(config, RETRIES)) as store:
        yield GuardedBackend(ObjectBackend(store, location), Breaker(), TransferRate())


@pytest.mark.parametrize(
    "fault",
    [
        Broken.RESET,
        Broken.STALL,
        Answer(429),
        Answer(429, (("Retry-After", "0"),)),
        Answer(500),
        Answer(503, (("Retry-After", "1"),)),
    ],
    ids=str,
)
def test_passing_faults_are_not_noticed(
    backend: Backend, proxy: FaultProxy, fault: Broken | Answer
) -> None:
    kept = Kept(b"{}", os.urandom(300_000))
    proxy.faults(fault, None, fault, None, fault)
    kept.put(backend, "")
    proxy.faults(fault, None, fault)
    assert backend.manifest("", CANCEL)[1] == kept.data
    assert b"".join(backend.blob(kept.blobs[1], CANCEL))[:2]


def test_truncated_blobs_are_continued(backend: Backend, proxy: FaultProxy) -> None:
    data = os.urandom(300_000)
    kept = Kept(b"{}", data)
    kept.put(backend, "")
    proxy.requests.clear()
    proxy.faults(Broken.TRUNCATED, Broken.TRUNCATED)
    assert b"".join(backend.blob(kept.blobs[1], CANCEL)) == data
    assert len(proxy.requests) == 3


def test_a_refusal_is_not_repeated(backend: Backend, proxy: FaultProxy) -> None:
    proxy.always(Answer(403))
    with pytest.raises(PermissionDenied, match="status 403: Fault: a test"):
        backend.manifest("", CANCEL)
    assert len(proxy.requests) == 1


def test_a_long_retry_after_is_an_error(backend: Backend, proxy: FaultProxy) -> None:
    proxy.always(Answer(429, (("Retry-After", "3600"),)))
    with pytest.raises(Unavailable, match="limits the rate of requests for 3600 s"):
        backend.manifest("", CANCEL)
    assert len(proxy.requests) == 1


def test_a_backend_that_fails_repeatedly_is_given_up(backend: Backend, proxy: FaultProxy) -> None:
    proxy.always(Answer(500))
    for _ in range(3):
        with pytest.raises(Unavailable, match="status 500"):
            backend.manifest("", CANCEL)
    proxy.requests.clear()
    with pytest.raises(Unavailable, match=r"given up for this build, after failures: .*500"):
        backend.manifest("", CANCEL)
    with pytest.raises(Unavailable, match="given up"):
        Kept(b"{}").put(backend, "")
    assert not proxy.requests


def test_missing_objects_are_no_failures(backend: Backend, proxy: FaultProxy) -> None:
    for _ in range(5):
        with pytest.raises(NotFound):
            backend.manifest("", CANCEL)


def test_a_stalled_backend_is_given_up_at_once(
    backend: Backend, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guarded, "_REQUEST", 0.2)
    proxy.always(Broken.STALL)
    with pytest.raises(TooSlow):
        backend.manifest("", CANCEL)
    with pytest.raises(Unavailable, match="given up"):
        backend.manifest("", CANCEL)


def test_the_clock_of_the_service_counts(
    backend: Backend, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Kept(b"{}", b"data")
    kept.put(backend, "")
    theirs = time.time() + 7200
    proxy.faults(Answer(403, (("Date", formatdate(theirs, usegmt=True)),)))
    seen: list[float] = []
    whole = service.Service._once

    def once(self: service.Service, *args: object) -> object:
        seen.append(self._ahead)
        self._ahead = 0.0  # the server of the test has this machine's clock
        return whole(self, *args)  # type: ignore[arg-type]  # passed on unchanged

    monkeypatch.setattr(service.Service, "_once", once)
    assert backend.manifest("", CANCEL)[1] == kept.data
    assert seen[0] == 0.0
    assert 7000 < seen[1] < 7400


def test_an_interrupted_export_leaves_the_old_cache(backend: Backend, proxy: FaultProxy) -> None:
    old, new = Kept(b"{}", b"old"), Kept(b"{}", os.urandom(1000))
    old.put(backend, "")
    proxy.always(Answer(500), ("PUT",))
    with pytest.raises(Unavailable):
        new.put(backend, "")
    proxy.always(None)
    assert backend.manifest("", CANCEL)[1] == old.data


def test_limits_do_not_hide_the_cancellation_of_a_build() -> None:
    from lamina.base.errors import Cancelled

    build = Cancellation()
    with pytest.raises(Cancelled), limited(build, 60, "it") as within:
        build.cancel()
        within.check()
    with pytest.raises(TooSlow, match="it took longer"), limited(Cancellation(), 0.01, "it") as cut:
        assert cut.wait(10)
        cut.check()

"""The two ends of each kind of transport, a channel between them, and a check for leaked
threads."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from lamina.wire.client import GrpcChannel
from lamina.wire.contract import Peer
from lamina.wire.server import GrpcServer
from tests.wire.certificates import Certificates, make_certificates
from tests.wire.wire_service import HANDLERS, Ends, pipe_ends, socket_ends

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    left = [thread for thread in threading.enumerate() if thread not in before]
    for thread in left:
        thread.join(5)
    assert not [thread for thread in left if thread.is_alive()]


@pytest.fixture(params=[socket_ends, pipe_ends], ids=["socket", "pipes"])
def ends(request: pytest.FixtureRequest) -> Ends:
    make: Callable[[], Ends] = request.param
    return make()


@pytest.fixture
def channel(ends: Ends) -> Iterator[GrpcChannel]:
    with GrpcServer(ends[1], HANDLERS, Peer("test")), GrpcChannel(ends[0]) as channel:
        yield channel


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))

"""Clients that send invalid data to a daemon."""

from __future__ import annotations

import os
import socket
import threading
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from lamina.api import control, gateway, history
from lamina.system.cancel import Cancellation
from lamina.wire.contract import Code, StatusError
from lamina.wire.protobuf import encode
from tests.daemon.hostile_ops import definition, mended, messages, ops
from tests.fuzz.mutations import mutated
from tests.wire.test_hostile import HELLO, RawClient, data, request

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from lamina.wire.client import GrpcChannel
    from tests.daemon_process import DaemonProcess

_METHODS = (
    *(control.SOLVE, control.STATUS, control.PRUNE, control.DISK_USAGE, control.SESSION),
    *(control.INFO, control.LIST_WORKERS, gateway.SOLVE, gateway.RETURN),
)
_REQUESTS: tuple[tuple[str, type, dict[str, Any]], ...] = (
    (control.SOLVE, control.SolveRequest, {"session": "", "source_policy_session": ""}),
    (control.PRUNE, control.PruneRequest, {}),
    (control.DISK_USAGE, control.DiskUsageRequest, {}),
    (control.STATUS, control.StatusRequest, {}),
    (history.LISTEN_BUILD_HISTORY, history.BuildHistoryRequest, {"early_exit": True}),
    (history.UPDATE_BUILD_HISTORY, history.UpdateBuildHistoryRequest, {}),
)
_EXAMPLES = 15
_PATIENCE = 2.0  # seconds


def half_sent(chance: random.Random, daemon: DaemonProcess) -> None:
    """Many connections, each with a part of a large message; then all of them disconnect."""
    with ExitStack() as open_ones:
        for _ in range(chance.randint(1, 30)):
            raw = _raw(daemon)
            open_ones.enter_context(raw.socket)
            raw.socket.settimeout(0.2)
            path = chance.choice(_METHODS).encode()
            raw.send(HELLO, request(1, path))
            announced = chance.choice((1 << 10, 4 << 20, 16 << 20, (1 << 32) - 1))
            raw.send(data(1, b"\0" + announced.to_bytes(4, "big")))
            for _ in range(chance.choice((0, 1, 100))):
                raw.send(data(1, bytes(16384)))


def garbage(chance: random.Random, daemon: DaemonProcess) -> None:
    """Bytes that are not HTTP/2, or almost."""
    path = chance.choice(_METHODS).encode()
    good = HELLO + request(1, path) + data(1, b"\0\0\0\0\x02\x0a\x00", end=True)
    for _ in range(10):
        raw = _raw(daemon)
        with raw.socket, suppress(TimeoutError):
            raw.socket.settimeout(0.3)
            raw.send(mutated(chance, good, (b"\xff\xff\xff", b"\0\0\0\0", b"PRI")))
            raw.socket.shutdown(socket.SHUT_WR)
            while raw.socket.recv(65536):
                pass


def random_requests(chance: random.Random, daemon: DaemonProcess) -> None:
    """Messages with any value in any field."""
    method, kind, fixed = chance.choice(_REQUESTS)
    schema = control.SCHEMA if kind in control.SCHEMA else history.SCHEMA
    with daemon.dial() as channel:
        _examples(
            chance,
            messages(kind, schema),
            lambda message: _ask(channel, method, encode(message._replace(**fixed), schema)),
        )


def random_definitions(chance: random.Random, daemon: DaemonProcess) -> None:
    """Invalid graphs of operations."""
    with daemon.dial() as channel:

        def ask(found: list[Any]) -> None:
            wanted = definition(*[mended(one) if chance.random() < 0.5 else one for one in found])
            solving = control.SolveRequest(os.urandom(8).hex(), definition=wanted)
            _ask(channel, control.SOLVE, encode(solving, control.SCHEMA))

        _examples(chance, st.lists(ops(), min_size=1, max_size=3), ask)


def random_bytes(chance: random.Random, daemon: DaemonProcess) -> None:
    """Calls whose messages are almost valid."""
    good = encode(control.SolveRequest("r", frontend="dockerfile.v0"), control.SCHEMA)
    with daemon.dial() as channel:
        for _ in range(_EXAMPLES):
            message = mutated(chance, good, (b"\xff\xff\xff\xff\x0f", b"\x0a\x80"))
            _ask(channel, chance.choice(_METHODS), message)


KINDS: dict[str, Callable[[random.Random, DaemonProcess], None]] = {
    "half-sent messages": half_sent,
    "garbage": garbage,
    "random requests": random_requests,
    "random definitions": random_definitions,
    "random bytes": random_bytes,
}


def _raw(daemon: DaemonProcess) -> RawClient:
    return RawClient(Path(daemon.address.removeprefix("unix://")))


def _ask(channel: GrpcChannel, method: str, message: bytes) -> None:
    """Send a call, and wait for a limited time: some calls wait for events that never occur."""
    cancel = Cancellation()
    timer = threading.Timer(_PATIENCE, cancel.cancel)
    timer.start()
    try:
        with channel.open(method, cancel=cancel) as call:
            call.send(message)
            call.finish_sending()
            while call.receive() is not None:
                pass
    except StatusError as error:
        assert error.code is not Code.INTERNAL, error
    finally:
        timer.cancel()


def _examples(chance: random.Random, strategy: Any, test: Callable[[Any], None]) -> None:
    """Draw values of a strategy, reproducibly from `chance`."""
    no_checks = list(HealthCheck)
    plain = settings(
        max_examples=_EXAMPLES,
        database=None,
        deadline=None,
        suppress_health_check=no_checks,
        phases=[Phase.generate],
    )

    @seed(chance.getrandbits(60))
    @plain
    @given(strategy)
    def run(value: Any) -> None:
        test(value)

    run()

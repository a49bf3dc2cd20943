"""Runs a daemon, from opening its store to shutdown."""

from __future__ import annotations

import fcntl
import gc
import os
import threading
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from lamina.base.errors import AlreadyExists, InvalidInput
from lamina.daemon.call_logging import with_logging
from lamina.daemon.notify import Supervisor, forget_passed_sockets
from lamina.daemon.signals import taken
from lamina.daemon.wiring import wired
from lamina.engine.host_setup import HostSetup, enter_user_namespace
from lamina.stores.store import open_store
from lamina.system.memory import limit_arenas
from lamina.wire.listen import Listener

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from lamina.daemon.config import DaemonConfig, GrpcConfig, TlsFiles
    from lamina.daemon.log import Log
    from lamina.daemon.signals import Signals
    from lamina.engine.host_setup import Host
    from lamina.stores.store import Store
    from lamina.wire.contract import Handler, Transport

_POLL = 0.1
_ARENAS = 2
_COLLECT_AFTER = 10_000
"""The number of new objects after which Python's cyclic garbage collector runs. Commands rarely
reach it."""


def serve(
    config: DaemonConfig,
    root: str,
    log: Log,
    beside: Callable[[Store], AbstractContextManager[None]] | None = None,
) -> int:
    """Serve until a signal requests shutdown, then drain. Returns the exit status.

    The first signal lets running builds finish within the configured time, the second one cancels
    them, the third one ends the process. Call it before any thread starts. Raises LaminaError if
    the daemon cannot start.

    Args:
        root: the store's directory.
        beside: what else this process serves of the store, for as long as the daemon runs.
    """
    _bound_garbage()
    supervisor = Supervisor()
    with ExitStack() as owned:
        signals = owned.enter_context(taken())
        store = owned.enter_context(open_store(root))
        owned.enter_context(_daemon_lock(store.root))
        services = wired(config, store, _enter(config, store.root, log), log, owned)
        serving = _listen(config.grpc, with_logging(services.handlers, log), log)
        listeners = [owned.enter_context(listener) for listener in serving]
        forget_passed_sockets()
        if beside is not None:
            owned.enter_context(beside(store))
        worker, engine = services.worker, services.engine
        labels = " ".join(f"{name}={value}" for name, value in worker.labels)
        log.info(f'found worker "{worker.id}"', labels=labels, root=store.root)
        for listener in listeners:
            log.info(f"running server on {listener.address}")
        supervisor.notify("READY=1")
        services.collector.wake()
        signals.next()
        log.info("stopping server", drain=f"{config.life.drain:g}s")
        supervisor.notify("STOPPING=1")
        services.ending.cancel("the daemon shuts down")
        _drain(listeners, config.life.drain, signals, log, engine.hurry)
    log.info("stopped")
    return 0


def serve_transport(config: DaemonConfig, root: str, log: Log, transport: Transport) -> None:
    """Serve one connection until its client ends it. Other daemons may serve the same store.

    Call it before any thread starts. Raises LaminaError if the services cannot start.

    Args:
        root: the store's directory.
    """
    from lamina.wire.contract import Peer
    from lamina.wire.server import GrpcServer

    _bound_garbage()
    with ExitStack() as owned:
        store = owned.enter_context(open_store(root))
        services = wired(config, store, _enter(config, store.root, log), log, owned)
        server = GrpcServer(transport, with_logging(services.handlers, log), Peer("stdio"))
        owned.enter_context(server)
        server.wait()
        services.ending.cancel("the client has disconnected")


def _enter(config: DaemonConfig, root: str, log: Log) -> Host:
    """Prepare the process for the store at `root`. Raises LaminaError."""
    privileges = enter_user_namespace(root)
    if config.worker.rootless and privileges.ids is None:
        raise InvalidInput(
            "rootless mode is configured, but the daemon runs as root of the machine",
            hint="run it as an ordinary user; it enters a user namespace without other tools",
        )
    for warning in privileges.warnings:
        log.warn(warning)
    return HostSetup(root, privileges, config.worker.snapshotter).enter()


def _bound_garbage() -> None:
    """Limit memory that freed objects keep, as a daemon runs long and has many threads."""
    limit_arenas(_ARENAS)
    gc.set_threshold(_COLLECT_AFTER, 10, 10)


@contextmanager
def _daemon_lock(root: str) -> Iterator[None]:
    """Lock the store against other daemons. Commands may still build on it.

    Raises AlreadyExists.
    """
    fd = os.open(os.path.join(root, "buildkitd.lock"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise AlreadyExists(
            f"could not lock {root}/buildkitd.lock: another daemon runs on this store",
            hint="stop it, or use a different --root",
        ) from None
    finally:
        os.close(fd)


def _listen(grpc: GrpcConfig, handlers: Mapping[str, Handler], log: Log) -> Iterator[Listener]:
    tls = _tls(grpc.tls)
    for address in grpc.address:
        if not address.partition("://")[1]:
            raise InvalidInput(
                f"address {address} does not contain proto", hint=f"did you mean unix://{address}?"
            )
        path = address.removeprefix("unix://")
        if path != address:
            if tls is not None:
                log.warn(f"TLS is disabled for {address}")
            os.makedirs(os.path.dirname(path) or ".", mode=0o711, exist_ok=True)
            listener = Listener(address, handlers, group=grpc.gid)
            if grpc.uid is not None:
                os.chown(path, grpc.uid, -1)
            yield listener
        else:
            if tls is None and address.startswith("tcp://"):
                log.warn(
                    f"TLS is not enabled for {address}."
                    " enabling mutual TLS authentication is highly recommended"
                )
            yield Listener(address, handlers, tls=tls)


def _tls(files: TlsFiles) -> ssl.SSLContext | None:
    if not files.cert:
        return None
    from lamina.wire.tls import server_context

    return server_context(files.cert, files.key, files.ca)


def _drain(
    listeners: list[Listener],
    seconds: float,
    signals: Signals,
    log: Log,
    hurry: Callable[[], None],
) -> None:
    """Let running builds finish; cancel them after `seconds` or at another signal.

    `hurry` then kills cancelled steps at once.
    """
    threads = [
        threading.Thread(target=listener.drain, args=(seconds,), name="drain", daemon=True)
        for listener in listeners
    ]
    for thread in threads:
        thread.start()
    end = time.monotonic() + seconds
    hurried = False
    while any(thread.is_alive() for thread in threads):
        number = signals.next(_POLL)
        if time.monotonic() >= end:
            hurry()
        if not number:
            continue
        hurry()
        if hurried:
            os._exit(128 + number)
        hurried = True
        log.warn("cancelling running builds")
        for listener in listeners:
            threading.Thread(target=listener.close, name="close", daemon=True).start()
    for thread in threads:
        thread.join()

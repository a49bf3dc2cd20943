"""The open sessions, by ID."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

from lamina.api import health
from lamina.api.message import first, unary, values
from lamina.api.session import (
    KEY_HEALTH_TIMEOUT,
    KEY_ID,
    KEY_METHOD,
    KEY_NAME,
    KEY_SHARED_KEY,
)
from lamina.base.errors import NotFound
from lamina.base.named_tuple import NamedTuple
from lamina.session.absent import AbsentSession, NoChannel
from lamina.session.remote_session import Identity, RemoteSession
from lamina.system.cancel import Cancellation
from lamina.wire.client import GrpcChannel
from lamina.wire.contract import Code, StatusError
from lamina.wire.transport import TunnelTransport

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from lamina.session.mirrors import Mirrors
    from lamina.wire.contract import Metadata, ServerCall

_WAIT = 5.0
"""How long (s) a build waits for its session: the client opens both concurrently."""
_SHORTEST = 1.0


class HealthCheckPolicy(NamedTuple):
    """How to check whether a client is alive: every `every` seconds. It counts as disconnected
    after `failures` consecutive checks without an answer within `timeout` seconds."""

    every: float = 5.0
    timeout: float = 15.0
    failures: int = 2


class SessionTable:
    """The sessions of connected clients. Thread-safe.

    Args:
        mirrors: the mirrors of directories.
        scratch: a directory for sockets.
    """

    def __init__(
        self, mirrors: Mirrors, scratch: str, *, owner: tuple[int, int] | None = None
    ) -> None:
        self._mirrors = mirrors
        self._scratch = scratch
        self._owner = owner
        self._changed = threading.Condition()
        self._sessions: dict[str, RemoteSession] = {}

    def serve(self, call: ServerCall) -> None:
        """Handle `Control.Session`. The call is the tunnel, and lasts as long as the session."""
        identity = identity_of(call.metadata)
        with call.cancel.calling(call.hang_up):
            channel = GrpcChannel(TunnelTransport(call))
            session = RemoteSession(
                identity, channel, self._mirrors, self._scratch, owner=self._owner
            )
            try:
                self._add(session)
            except StatusError:
                session.close()
                raise
            try:
                _watch(channel, health_check_policy(call.metadata))
            finally:
                session.close()
                self._remove(session)

    def get(self, session_id: str, cancel: Cancellation, wait: float = _WAIT) -> RemoteSession:
        """The session with an ID (also `prefix:id`). Waits a limited time for it to open.

        Raises NotFound, Cancelled.
        """
        wanted = session_id.partition(":")[2] or session_id
        deadline = time.monotonic() + wait

        def wake() -> None:
            with self._changed:
                self._changed.notify_all()

        with cancel.calling(wake), self._changed:
            while True:
                cancel.check()
                session = self._sessions.get(wanted)
                if session is not None and not session.closed:
                    return session
                left = deadline - time.monotonic()
                if left <= 0:
                    raise NotFound(
                        f"no active session for {wanted}",
                        hint="the client has disconnected, or has not opened its session",
                    )
                self._changed.wait(left)

    @contextmanager
    def joined(self, session_id: str, cancel: Cancellation) -> Iterator[RemoteSession]:
        """A session for the duration of a build; with "" one that provides nothing.

        If it does not open, the build fails when it first needs it.

        Raises Unavailable, Cancelled.
        """
        if not session_id:
            yield RemoteSession(Identity(""), NoChannel(), self._mirrors, self._scratch)
            return
        found: AbstractContextManager[RemoteSession]
        try:
            found = self.get(session_id, cancel).held()
        except NotFound as error:
            found = nullcontext(AbsentSession(session_id, error, self._mirrors, self._scratch))
        with found as session:
            yield session

    def ids(self) -> list[str]:
        """The IDs of the open sessions."""
        with self._changed:
            return list(self._sessions)

    def _add(self, session: RemoteSession) -> None:
        with self._changed:
            if session.id in self._sessions:
                raise StatusError(Code.ALREADY_EXISTS, f"session {session.id} already exists")
            self._sessions[session.id] = session
            self._changed.notify_all()

    def _remove(self, session: RemoteSession) -> None:
        with self._changed:
            if self._sessions.get(session.id) is session:
                del self._sessions[session.id]


def identity_of(metadata: Metadata) -> Identity:
    """Read the headers of a new session. Raises StatusError."""
    session_id = first(metadata, KEY_ID)
    if not session_id:
        raise StatusError(Code.INVALID_ARGUMENT, "a session needs an id")
    return Identity(
        session_id,
        first(metadata, KEY_NAME),
        first(metadata, KEY_SHARED_KEY),
        frozenset(values(metadata, KEY_METHOD)),
    )


def health_check_policy(metadata: Metadata) -> HealthCheckPolicy:
    """The policy in a session's headers. Invalid values are ignored."""
    text = first(metadata, KEY_HEALTH_TIMEOUT)
    if not text.isascii() or not text.isdigit() or len(text) > 9 or not int(text):
        return HealthCheckPolicy()
    wanted = max(int(text) / 1000, _SHORTEST)
    return HealthCheckPolicy(wanted, wanted, 1)


def _watch(channel: GrpcChannel, policy: HealthCheckPolicy) -> None:
    """Wait until the connection ends, or the client does not answer any more."""
    failures = 0
    while not channel.wait(policy.every):
        cancel = Cancellation()
        timer = threading.Timer(policy.timeout, cancel.cancel)
        timer.daemon = True
        timer.start()
        try:
            unary(
                channel,
                health.CHECK,
                health.HealthCheckRequest(),
                health.HealthCheckResponse,
                health.SCHEMA,
                cancel=cancel,
            )
            failures = 0
        except StatusError as error:
            # A client without the service answers too (UNIMPLEMENTED).
            failures = 0 if error.code is Code.UNIMPLEMENTED else failures + 1
        finally:
            timer.cancel()
            timer.join()
        if failures >= policy.failures:
            return

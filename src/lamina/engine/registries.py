"""Registry clients with the credentials of the builds that a request is made for.

Builds of different clients share steps, threads and the store, but no credentials. The requesters
are not an argument of every call: they belong to the context (`contextvars`) of a thread, which
thread pools pass on. The requesters of a step are all builds that wait for it; everything else has
one requester. Requests without a requester are anonymous.

Content that was fetched is in the store, for every client that knows its digest. But a *name* is
resolved for each client with its own credentials (BuildKit).
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Protocol

from lamina.base.named_tuple import NamedTuple
from lamina.engine.shared_session import first_known

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from collections.abc import Set as AbstractSet

    from lamina.registry.client import RegistryClient
    from lamina.registry.credentials import (
        BearerRequest,
        BearerToken,
        Credentials,
        SessionLogins,
    )
    from lamina.registry.hosts import Hosts
    from lamina.registry.transfer_limiter import TransferLimiter
    from lamina.session.contract import Session
    from lamina.system.cancel import Cancellation


class RegistryRequester(Protocol):
    """The part of a build that registry clients use."""

    @property
    def session(self) -> Session: ...

    @property
    def trusted(self) -> AbstractSet[str]:
        """Registries that may use plain HTTP or an unknown certificate, by domain."""

    @property
    def repositories(self) -> AbstractSet[str]:
        """The repositories of its images and caches, as `domain/path`."""


class RegistryFinder(Protocol):
    """Makes the client for one registry. With `insecure`, it trusts `domain`."""

    def __call__(self, domain: str, *, insecure: bool) -> RegistryClient: ...


class LoginsOf(Protocol):
    """Finds the credentials of a session's client."""

    def __call__(self, session: Session, /) -> SessionLogins: ...


_REQUESTERS: ContextVar[Callable[[], Sequence[RegistryRequester]]] = ContextVar(
    "requesters", default=tuple
)


@contextmanager
def on_behalf_of(requesters: Callable[[], Sequence[RegistryRequester]]) -> Iterator[None]:
    """Make registry requests for these builds, in this thread and in the pools that it uses."""
    token = _REQUESTERS.set(requesters)
    try:
        yield
    finally:
        _REQUESTERS.reset(token)


def current_requesters() -> Sequence[RegistryRequester]:
    """The builds that registry requests are made for in this context."""
    return _REQUESTERS.get()()


class _Who(NamedTuple):
    sessions: frozenset[Session]  # the sessions, not their IDs, which clients choose
    trusted: frozenset[str]


class Registries:
    """Makes clients when they are first needed, and keeps them while their session has builds.

    Args:
        hosts: how registries are reached.
        logins: finds the credentials of a session; None: all use those of the machine.
        transfers: the limit of concurrent blob transfers per registry; 0: no limit.
    """

    def __init__(
        self, hosts: Callable[[], Hosts], logins: LoginsOf | None, transfers: int = 0
    ) -> None:
        self._limiter: TransferLimiter | None = None
        if transfers:
            from lamina.registry.transfer_limiter import TransferLimiter

            self._limiter = TransferLimiter(transfers)
        self._hosts = hosts
        self._logins = logins
        self._lock = threading.Lock()
        self._clients: dict[_Who, RegistryClient] = {}

    @property
    def shared(self) -> bool:
        """Whether all sessions use the same credentials."""
        return self._logins is None

    def client(self, domain: str = "", *, insecure: bool = False) -> RegistryClient:
        """The client of the current requester. With `insecure`, it trusts `domain`."""
        return self._client_of(current_requesters(), domain if insecure else "")

    def clients(self) -> Sequence[RegistryClient]:
        """A client for each requesting session, with only its credentials. There is at least
        one."""
        requesters = current_requesters()
        if self._logins is None or len(requesters) < 2:
            return [self.client()]
        sessions = dict.fromkeys(requester.session for requester in requesters)
        return [self._client_of([r for r in requesters if r.session is s]) for s in sessions]

    def _client_of(
        self, requesters: Sequence[RegistryRequester], domain: str = ""
    ) -> RegistryClient:
        trusted = frozenset().union(*(requester.trusted for requester in requesters))
        if domain:
            trusted |= {domain}
        sessions = [] if self._logins is None else [requester.session for requester in requesters]
        who = _Who(frozenset(sessions), trusted)
        with self._lock:
            if who not in self._clients:
                self._clients[who] = self._make(sessions, trusted)
            return self._clients[who]

    def forget(self, session: Session) -> None:
        """Forget the clients of a session whose last build has ended."""
        with self._lock:
            gone = [who for who in self._clients if session in who.sessions]
            clients = [self._clients.pop(who) for who in gone]
        for client in clients:
            client.close()

    def _make(self, sessions: Sequence[Session], trusted: frozenset[str]) -> RegistryClient:
        from lamina.registry.client import RegistryClient

        hosts = self._hosts()
        for domain in trusted:
            hosts = hosts.trusting(domain)
        if self._logins is None:
            return RegistryClient(hosts, limiter=self._limiter)
        logins = _Logins(list(map(self._logins, sessions)))
        return RegistryClient(hosts, logins, tokens=logins, limiter=self._limiter)


class _Logins:
    """The first credentials that one of several clients has."""

    def __init__(self, sources: Sequence[SessionLogins]) -> None:
        self._sources = sources

    def lookup(self, domain: str) -> Credentials | None:
        return first_known(self._sources, lambda source: source.lookup(domain))

    def token(self, domain: str, wanted: BearerRequest, cancel: Cancellation) -> BearerToken | None:
        found = first_known(self._sources, lambda source: source.token(domain, wanted, cancel))
        if found is None and self.lookup(domain) is None:
            found = first_known(self._sources, lambda one: one.spare_token(domain, wanted, cancel))
        return found

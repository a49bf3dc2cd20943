"""The clients for registries, each as whoever asks at the moment.

Builds of different clients share steps, threads and the store, but not logins. So who asks is
not passed along with every call: it belongs to the context (`contextvars`) that a thread works
in, which pools hand on. A step is asked for by all builds that wait for it, everything else by
one build. Whoever asks for nobody is nobody: registries are asked anonymously then.

What was once fetched is in the store, for all who know its digest; but what a *name* stands for,
every client has to ask with its own login (BuildKit keeps to the same).
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, NamedTuple, Protocol

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


class Asker(Protocol):
    """A build, as far as registries are concerned."""

    @property
    def session(self) -> Session: ...

    @property
    def trusted(self) -> AbstractSet[str]:
        """Registries that may be plain HTTP or of an unknown certificate, by domain."""

    @property
    def repositories(self) -> AbstractSet[str]:
        """The repositories that it reads images and caches from, as `domain/path`."""


class LoginsOf(Protocol):
    """Finds the logins of a session's client."""

    def __call__(self, session: Session, /) -> SessionLogins: ...


_ASKING: ContextVar[Callable[[], Sequence[Asker]]] = ContextVar("asking", default=tuple)


@contextmanager
def asked_by(askers: Callable[[], Sequence[Asker]]) -> Iterator[None]:
    """Registries are asked for these, in this thread and what it hands on, during the block."""
    token = _ASKING.set(askers)
    try:
        yield
    finally:
        _ASKING.reset(token)


def asking() -> Sequence[Asker]:
    """The builds that registries are asked for in this context."""
    return _ASKING.get()()


class _Who(NamedTuple):
    sessions: frozenset[Session]  # themselves: clients choose their ids
    trusted: frozenset[str]


class Registries:
    """Makes clients when they are first needed, and keeps those of sessions that build.

    Args:
        hosts: how registries are reached.
        logins: finds those of a session; None: everybody has the machine's.
        transfers: how many blobs may travel from and to one registry at a time; 0 for any number.
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
        """Whether everybody has the same logins."""
        return self._logins is None

    def client(self, domain: str = "", *, insecure: bool = False) -> RegistryClient:
        """The client of whoever asks; with `insecure` one that trusts `domain`."""
        askers = asking()
        trusted = frozenset().union(*(asker.trusted for asker in askers))
        if insecure:
            trusted |= {domain}
        sessions = [] if self._logins is None else [asker.session for asker in askers]
        who = _Who(frozenset(sessions), trusted)
        with self._lock:
            if who not in self._clients:
                self._clients[who] = self._make(sessions, trusted)
            return self._clients[who]

    def forget(self, session: Session) -> None:
        """A session's last build is over."""
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
    """The first login that one of several clients has."""

    def __init__(self, sources: Sequence[SessionLogins]) -> None:
        self._sources = sources

    def lookup(self, domain: str) -> Credentials | None:
        return first_known(self._sources, lambda source: source.lookup(domain))

    def token(self, domain: str, wanted: BearerRequest, cancel: Cancellation) -> BearerToken | None:
        found = first_known(self._sources, lambda source: source.token(domain, wanted, cancel))
        if found is None and self.lookup(domain) is None:
            found = first_known(self._sources, lambda one: one.spare_token(domain, wanted, cancel))
        return found

"""Origins of layers for clients that share an engine.

Clients share the recorded origins of a blob, but a build only uses repositories that it names: in a
source of its definitions or as an imported cache. A build that shares a step with another one also
uses the cache that the step's result is from. So no client learns the name of another client's
private repository unless it builds the same, and no registry gets a request for one with the wrong
credentials.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from lamina.base.reference import parse_reference
from lamina.engine.registries import current_requesters
from lamina.stores.origins import Origin, OriginKind, OriginList

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lamina.base.digest import Digest
    from lamina.session.contract import Session
    from lamina.stores.origins import LayerOrigins


class ClientOrigins:
    """Implements `LayerOrigins` on top of `shared`, for the current requesters.

    Content that clients serve or that is in an object store, and failed origins, are recorded per
    session, until `forget`. OCI
    layouts of this machine belong to no client, so they are never used.
    """

    def __init__(self, shared: LayerOrigins) -> None:
        self._shared = shared
        self._lock = threading.Lock()
        self._of_session: dict[Session, _SessionOrigins] = {}

    def of(self, blob: Digest) -> Sequence[Origin]:
        requesters = current_requesters()
        with self._lock:
            known = [self._of_session.get(r.session) or _SessionOrigins() for r in requesters]
        named = frozenset[str]().union(*(requester.repositories for requester in requesters))
        return [
            *dict.fromkeys(origin for one in known for origin in one.served.of(blob)),
            *(
                origin
                for origin in self._shared.of(blob)
                if origin.reference
                and parse_reference(origin.reference).name in named
                # A build that joins a shared step may have access that the others lack.
                and not all((blob, origin) in one.failed for one in known)
            ),
        ]

    def add(self, blobs: Iterable[Digest], origin: Origin) -> None:
        blobs = list(blobs)
        for known in self._of_requesters():
            known.failed.difference_update((blob, origin) for blob in blobs)
            if origin.kind in (OriginKind.CLIENT, OriginKind.STORE):
                known.served.add(blobs, origin)
        if origin.reference:
            self._shared.add(blobs, origin)

    def remove(self, blob: Digest, origin: Origin, *, for_good: bool) -> None:
        # Other clients' credentials may still work, so this concerns only these builds.
        for known in self._of_requesters():
            known.served.remove(blob, origin)
            known.failed.add((blob, origin))

    def forget(self, session: Session) -> None:
        """Forget a session whose last build has ended."""
        with self._lock:
            self._of_session.pop(session, None)

    def _of_requesters(self) -> list[_SessionOrigins]:
        sessions = [requester.session for requester in current_requesters()]
        with self._lock:
            return [self._of_session.setdefault(each, _SessionOrigins()) for each in sessions]


class _SessionOrigins:
    """The origins that the builds of one session know. Thread-safe."""

    def __init__(self) -> None:
        self.served = OriginList()
        self.failed: set[tuple[Digest, Origin]] = set()
        """Failed origins of blobs in registries; single operations on a set are atomic."""

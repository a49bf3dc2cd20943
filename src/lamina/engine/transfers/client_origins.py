"""Origins of layers where several clients share an engine.

What is known of a blob's origins is shared, but a build only uses a repository that it names
itself: in a source of its definitions or as an imported cache. So no client hears the name of
another client's private repository, and no registry is asked for one with the wrong login.
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
    """Implements `LayerOrigins` on top of `shared`, for the builds that ask at the moment.

    Content stores that clients serve are kept per session, until `forget`. OCI layouts of this
    machine belong to no client, so they are never used.
    """

    def __init__(self, shared: LayerOrigins) -> None:
        self._shared = shared
        self._lock = threading.Lock()
        self._served: dict[Session, OriginList] = {}

    def of(self, blob: Digest) -> Sequence[Origin]:
        requesters = current_requesters()
        with self._lock:
            served = [self._served[a.session] for a in requesters if a.session in self._served]
        named = frozenset[str]().union(*(requester.repositories for requester in requesters))
        return [
            *dict.fromkeys(origin for origins in served for origin in origins.of(blob)),
            *(
                origin
                for origin in self._shared.of(blob)
                if origin.reference and parse_reference(origin.reference).name in named
            ),
        ]

    def add(self, blobs: Iterable[Digest], origin: Origin) -> None:
        if origin.kind is OriginKind.CLIENT:
            for origins in self._lists():
                origins.add(blobs, origin)
        elif origin.reference:
            self._shared.add(blobs, origin)

    def remove(self, blob: Digest, origin: Origin, *, for_good: bool) -> None:
        if origin.kind is OriginKind.CLIENT:
            for origins in self._lists():
                origins.remove(blob, origin)
        else:
            # Another client's login may still reach it, so it is not forgotten for good.
            self._shared.remove(blob, origin, for_good=False)

    def forget(self, session: Session) -> None:
        """A session's last build is over."""
        with self._lock:
            self._served.pop(session, None)

    def _lists(self) -> list[OriginList]:
        with self._lock:
            return [self._served.setdefault(a.session, OriginList()) for a in current_requesters()]

"""Sessions of builds that have none, or whose client never connected."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.session.remote_session import Identity, RemoteSession
from lamina.wire.contract import Code, StatusError

if TYPE_CHECKING:
    from lamina.base.errors import NotFound
    from lamina.session.mirrors import Mirrors
    from lamina.system.cancel import Cancellation
    from lamina.wire.contract import ClientCall, Metadata


class NoChannel:
    """A channel without services."""

    closed = False

    def open(
        self, method: str, metadata: Metadata = (), cancel: Cancellation | None = None
    ) -> ClientCall:
        raise StatusError(Code.UNIMPLEMENTED, "the build has no session")

    def close(self) -> None:
        return


class AbsentSession(RemoteSession):
    """A session that is not open. A build fails with `why` when it needs the session."""

    def __init__(self, session_id: str, why: NotFound, mirrors: Mirrors, scratch: str) -> None:
        super().__init__(Identity(session_id), _AbsentChannel(why), mirrors, scratch)
        self._why = why

    def supports(self, method: str) -> bool:
        raise self._why.again()


class _AbsentChannel(NoChannel):
    def __init__(self, why: NotFound) -> None:
        self._why = why

    def open(
        self, method: str, metadata: Metadata = (), cancel: Cancellation | None = None
    ) -> ClientCall:
        raise self._why.again()

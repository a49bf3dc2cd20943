"""A session of nobody: what a build without one borrows from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.wire.contract import Code, StatusError

if TYPE_CHECKING:
    from lamina.system.cancel import Cancellation
    from lamina.wire.contract import ClientCall, Metadata


class NoChannel:
    """A channel on which nothing is served."""

    closed = False

    def open(
        self, method: str, metadata: Metadata = (), cancel: Cancellation | None = None
    ) -> ClientCall:
        raise StatusError(Code.UNIMPLEMENTED, "the build has no session")

    def close(self) -> None:
        return

"""A client's content stores: OCI layouts to read and to write, local caches.

Stores are named in the session: `oci:<id>` for the layout of an `oci-layout://` source, `export`
for an output `type=oci,tar=false`, `local:<n>` for caches.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.api import content as api
from lamina.api.message import receive, unary
from lamina.base.errors import AlreadyExists, Corrupt
from lamina.session.failure import asking
from lamina.wire.contract import send_request
from lamina.wire.protobuf import encode

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from lamina.base.digest import Digest
    from lamina.system.cancel import Cancellation
    from lamina.wire.contract import Channel, Metadata

_PIECE = 256 << 10


class RemoteContent:
    """One content store. The reader must verify blobs against their digests."""

    def __init__(self, channel: Channel, store_id: str) -> None:
        self._channel = channel
        self._metadata: Metadata = ((api.KEY_STORE, store_id),)

    def size(self, digest: Digest, cancel: Cancellation) -> int:
        """A blob's size. Raises NotFound, Unavailable, Cancelled."""
        with asking(f"look for {digest}", cancel):
            response = unary(
                self._channel,
                api.INFO,
                api.InfoRequest(str(digest)),
                api.InfoResponse,
                api.SCHEMA,
                metadata=self._metadata,
                cancel=cancel,
            )
        if response.info is None:
            raise Corrupt(f"the client did not answer for {digest}")
        return response.info.size

    def read(
        self, digest: Digest, cancel: Cancellation, *, offset: int = 0, size: int = 0
    ) -> Iterator[bytes]:
        """The bytes of a blob from `offset` on, `size` of them or (0) all. Raises as `size`
        does."""
        request = api.ReadContentRequest(str(digest), offset, size)
        with (
            asking(f"read {digest}", cancel),
            self._channel.open(api.READ, self._metadata, cancel) as call,
        ):
            send_request(call, encode(request, api.SCHEMA))
            at = offset
            while (piece := receive(call, api.ReadContentResponse, api.SCHEMA)) is not None:
                if piece.offset != at:
                    raise Corrupt(f"{digest} arrived out of order")
                at += len(piece.data)
                if piece.data:
                    yield piece.data

    def write(
        self,
        digest: Digest,
        size: int,
        pieces: Iterable[bytes],
        cancel: Cancellation,
        *,
        labels: tuple[tuple[str, str], ...] = (),
    ) -> bool:
        """Write a blob. Returns False if the store has it already.

        Raises PermissionDenied, Exhausted, Unavailable, Corrupt (the client received something
        else), Cancelled.
        """
        try:
            with asking(f"write {digest}", cancel):
                self._write(digest, size, pieces, cancel, labels)
        except AlreadyExists:
            return False
        return True

    def _write(
        self,
        digest: Digest,
        size: int,
        pieces: Iterable[bytes],
        cancel: Cancellation,
        labels: tuple[tuple[str, str], ...],
    ) -> None:
        head = api.WriteContentRequest(ref=f"lamina-{digest}", total=size, expected=str(digest))
        with self._channel.open(api.WRITE, self._metadata, cancel) as call:

            def ask(request: api.WriteContentRequest) -> api.WriteContentResponse:
                call.send(encode(request, api.SCHEMA))
                response = receive(call, api.WriteContentResponse, api.SCHEMA)
                if response is None:
                    raise Corrupt(f"the client stopped writing {digest} early")
                return response

            done = ask(head).offset  # received in an earlier attempt
            at = 0
            for piece in pieces:
                fresh = piece[max(0, done - at) :]
                at += len(piece)
                for start in range(0, len(fresh), _PIECE):
                    part = fresh[start : start + _PIECE]
                    request = head._replace(action=api.WriteAction.WRITE, offset=done, data=part)
                    done = ask(request).offset
            commit = head._replace(action=api.WriteAction.COMMIT, offset=done, labels=labels)
            ask(commit)
            call.finish_sending()
            while call.receive() is not None:
                continue

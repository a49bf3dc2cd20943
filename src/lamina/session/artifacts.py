"""Sends file outputs to the client that requested them, by their numbers."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from lamina.api import filesync
from lamina.api.stream import encode_bytes
from lamina.session.failure import asking
from lamina.session.folder_sender import send
from lamina.session.folders import encoded_values

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from lamina.api.filesync import Stat
    from lamina.session.folder_sender import Opener
    from lamina.system.cancel import Cancellation
    from lamina.wire.contract import Channel, ClientCall

_PIECE = 256 << 10


def send_folder(
    channel: Channel,
    number: int,
    stats: Iterable[Stat],
    open_file: Opener,
    progress: Callable[[int], None],
    cancel: Cancellation,
) -> None:
    """Send a tree into the directory of output `number`. `progress` gets the bytes sent so far.

    Raises NotFound (the client expects no such output), Unavailable, Cancelled, and the errors of
    reading files.
    """
    metadata = (
        (filesync.KEY_EXPORTER_ID, str(number)),
        (filesync.KEY_EXPORTER_MULTI_PLATFORM, "1"),
    )
    with (
        asking("send the output's files", cancel),
        channel.open(filesync.SEND_DIFF_COPY, metadata, cancel) as call,
    ):
        send(call, stats, open_file, progress)
        _await_end(call)


class FileOutput:
    """Receives the bytes of an output that is one file."""

    def __init__(self, call: ClientCall) -> None:
        self._call = call

    def write(self, chunk: bytes, /) -> None:
        """Send bytes. Raises Unavailable, and the client's errors."""
        with asking("send the output"):
            for at in range(0, len(chunk), _PIECE):
                self._call.send(encode_bytes(chunk[at : at + _PIECE]))


@contextmanager
def open_file_output(
    channel: Channel, number: int, metadata: Iterable[tuple[str, str]], cancel: Cancellation
) -> Iterator[FileOutput]:
    """Open the file of output `number`. It is complete when the block ends without an error.

    Args:
        metadata: sent to the client as `exporter-md-<name>` (such as `containerimage.digest`).

    Raises AlreadyExists, NotFound, Unavailable, Cancelled.
    """
    headers: list[tuple[str, str | bytes]] = [(filesync.KEY_EXPORTER_ID, str(number))]
    for name, value in metadata:
        headers += encoded_values(filesync.KEY_EXPORTER_META_PREFIX + name, (value,))
    with (
        asking("send the output", cancel),
        channel.open(filesync.SEND_DIFF_COPY, tuple(headers), cancel) as call,
    ):
        yield FileOutput(call)
        _await_end(call)


def _await_end(call: ClientCall) -> None:
    """Wait until the client ends the call, which confirms that it has received everything."""
    call.finish_sending()
    while call.receive() is not None:
        continue

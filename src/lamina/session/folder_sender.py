"""The sender of fsutil's file transfer.

The sender sends the stats of all files in order, and at the end an empty one. Meanwhile the
receiver requests files by the numbers of their stats (REQ), and gets their content in chunks
(DATA), with an empty one at the end. A FIN of the receiver, which the sender returns, ends the
transfer. Either side may send ERR instead.
"""

from __future__ import annotations

import errno
import os
import threading
from contextlib import suppress
from queue import SimpleQueue
from typing import TYPE_CHECKING, Protocol

from lamina.api import filemode
from lamina.api.filesync import (
    PacketType,
    decode_packet,
    encode_data,
    encode_error,
    encode_fin,
    encode_last_stat,
    encode_stat,
)
from lamina.base.errors import Corrupt, LaminaError, Unavailable, from_os_error
from lamina.wire.contract import StatusError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from lamina.api.filesync import Packet, Stat
    from lamina.wire.contract import Call

_CHUNK = 32 << 10
_READERS = 2
_TOGETHER = 32 << 10  # bytes of stats that are sent together
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Opener(Protocol):
    """Opens a file whose stat was sent. Raises OSError; FileNotFoundError if it is gone."""

    def __call__(self, path: str, /) -> int: ...


def opener_of(root: str) -> Opener:
    """Opens files of one directory."""

    def open_file(path: str) -> int:
        return os.open(f"{root}/{path}", _OPEN)

    return open_file


def send(
    call: Call,
    stats: Iterable[Stat],
    open_file: Opener,
    progress: Callable[[int], None] = lambda _: None,
) -> None:
    """Send the files of `stats`, until the receiver has all that it needs.

    `progress` gets the bytes of stats and of content that were sent so far. Raises StatusError if
    the call ends early, LaminaError if a file cannot be read (the receiver was notified),
    Unavailable with the error of the receiver.
    """
    sending = _Sending(call, open_file, progress)
    threads = [
        threading.Thread(target=sending.send_stats, args=(stats,), name="send-stats", daemon=True),
        *(
            threading.Thread(target=sending.deliver, name=f"send-{number}", daemon=True)
            for number in range(_READERS)
        ),
    ]
    for thread in threads:
        thread.start()
    try:
        sending.obey()
    except BaseException:
        call.hang_up()  # so that no thread waits for an item
        raise
    finally:
        sending.stop()
        for thread in threads:
            thread.join()
    sending.check()


class _Sending:
    """The state that the threads of one transfer share."""

    def __init__(self, call: Call, open_file: Opener, progress: Callable[[int], None]) -> None:
        self._call = call
        self._open_file = open_file
        self._progress = progress
        self._sent = 0
        self._lock = threading.Lock()  # one message at a time
        self._files: dict[int, str] = {}
        self._wanted: SimpleQueue[tuple[int, str] | None] = SimpleQueue()
        self._failure: BaseException | None = None
        self._stopped = False

    def send_stats(self, stats: Iterable[Stat]) -> None:
        """Send the stats."""
        try:
            batch: list[bytes] = []
            size = 0
            for number, stat in enumerate(stats):
                if self._stopped:
                    return
                if not stat.mode & filemode.TYPE:
                    self._files[number] = stat.path
                message = encode_stat(stat)
                batch.append(message)
                size += len(message)
                if size >= _TOGETHER:
                    self._send_counted(*batch)
                    batch, size = [], 0
            self._send_counted(*batch, encode_last_stat())
        except Exception as error:
            self._fail(error)

    def deliver(self) -> None:
        """Send the content of requested files."""
        while (wanted := self._wanted.get()) is not None:
            if self._stopped:
                continue
            try:
                self._deliver(*wanted)
            except Exception as error:
                self._fail(error)

    def obey(self) -> None:
        """Process the receiver's packets until its FIN."""
        while True:
            try:
                message = self._call.receive()
            except StatusError:
                self.check()  # its error may be a consequence of the one here
                raise
            if message is None:
                self.check()
                raise Unavailable("the receiver ended the file transfer early")
            packet = decode_packet(message)
            if packet.type == PacketType.REQ:
                self._ask(packet)
            elif packet.type == PacketType.FIN:
                self._send(encode_fin())
                return
            elif packet.type == PacketType.ERR:
                self.check()
                text = packet.data.decode("utf-8", "replace")
                raise Unavailable(f"the receiver of files reported an error: {text}")

    def stop(self) -> None:
        self._stopped = True
        for _ in range(_READERS):
            self._wanted.put(None)

    def check(self) -> None:
        """Raise the local error, if there is one."""
        if self._failure is not None:
            raise self._failure

    def _ask(self, packet: Packet) -> None:
        path = self._files.pop(packet.id, None)
        if path is None:
            error = Corrupt(f"a file with an invalid number was requested: {packet.id}")
            self._fail(error)
            return
        self._wanted.put((packet.id, path))

    def _deliver(self, number: int, path: str) -> None:
        try:
            fd = self._open_file(path)
        except FileNotFoundError:
            self._send(encode_data(number, b""))  # files that disappear are empty (fsutil)
            return
        except OSError as error:
            if error.errno == errno.ENXIO:  # a socket
                self._send(encode_data(number, b""))
                return
            raise from_os_error(error, "read the file") from error
        try:
            while chunk := os.read(fd, _CHUNK):
                if self._stopped:
                    return
                self._send_counted(encode_data(number, chunk))
            self._send(encode_data(number, b""))
        except OSError as error:
            raise from_os_error(error, f"read the file {path}") from error
        finally:
            os.close(fd)

    def _send(self, message: bytes) -> None:
        with self._lock:
            self._call.send(message)

    def _send_counted(self, *messages: bytes) -> None:
        """Send packets of files and count them. Packets that only end something are not counted
        (fsutil)."""
        with self._lock:
            self._call.send_all(messages)
            self._sent += sum(map(len, messages))
            self._progress(self._sent)

    def _fail(self, error: BaseException) -> None:
        """Record the first failure, notify the receiver, and let `obey` end."""
        if self._failure is not None or self._stopped:
            return
        self._failure = error
        if not isinstance(error, StatusError):
            reason = error.reason if isinstance(error, LaminaError) else "internal error"
            with suppress(StatusError):
                self._send(encode_error(reason))
        self._call.hang_up()

"""The receiver of fsutil's file transfer: updates a directory to be equal to the sender's.

`folder_sender.py` describes the protocol. Senders are not trusted: paths must be clean, in order,
below directories that were sent, and are only opened beneath the root.

The caller can keep the STAT packets of a transfer for the next one. A file whose packet is equal is
not looked at again; if all packets are equal, nothing is.

A file is complete before it gets its modification time, and replaces an older one by `rename`. So
even after an interrupted transfer, no outdated file looks current.
"""

from __future__ import annotations

import os
from collections import deque
from hashlib import sha256
from typing import TYPE_CHECKING

from lamina.api import filemode
from lamina.api.filesync import (
    PacketType,
    Stat,
    decode_packet,
    encode_error,
    encode_fin,
    encode_request,
)
from lamina.base.errors import Corrupt, LaminaError, Unavailable, from_os_error
from lamina.base.named_tuple import NamedTuple
from lamina.session.file_writer import FileWriter, write_all
from lamina.session.validators import DIGEST
from lamina.session.writer_pool import WriterPool
from lamina.wire.contract import StatusError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lamina.session.listing import Listing
    from lamina.wire.contract import Call

_OUTSTANDING = 512
"""The maximum number of requested files: few enough that requests never block and the sender's
queue stays short; enough for a slow connection."""
_HELD = 64 << 10
_SECOND = 1_000_000_000
_END = b""
"""The last STAT packet of a sender, and of `Received.stats` if nothing is left out."""

_PATH_MAX = 4096
_OPEN_FILES = 64


class Policy(NamedTuple):
    """How to update a directory.

    Args:
        delete: remove files that the sender does not have.
        trust_metadata: do not request files whose size, time, mode and owner are equal.
        owner: the (uid, gid) of every file, overriding the sender's.
        plain: no existing file has extended attributes.
    """

    delete: bool = True
    trust_metadata: bool = True
    owner: tuple[int, int] | None = None
    plain: bool = False


MIRROR = Policy()
"""Make the directory equal, fetching files that seem to have changed."""


class Received(NamedTuple):
    """The result of a transfer: the number of received stats, of fetched files, of fetched bytes,
    and of bytes in all files; whether no file has extended attributes.

    `stats` are the packets of the files that need not be fetched again as long as their packets
    are equal, in the sender's order. None: they are those that were known before, and the directory
    has not changed; `size` and `plain` are not set then.
    """

    files: int
    fetched: int
    transferred: int
    size: int
    plain: bool
    stats: Sequence[bytes] | None


def receive(
    call: Call,
    root: str,
    policy: Policy = MIRROR,
    *,
    listing: Listing | None = None,
    known: Sequence[bytes] = (),
    progress: Callable[[int], None] | None = None,
) -> Received:
    """Make the existing directory `root` equal to that of the sender.

    Args:
        listing: selects the files, and is filled with the list of all.
        known: the `stats` of the latest transfer to this directory, which nobody has changed since.
        progress: called with the bytes received so far, including stats.

    Raises StatusError if the call ends early, Corrupt for protocol errors, Unavailable with an
    error of the sender, and errors of the file system.
    """
    try:
        with (
            FileWriter(root, policy.owner, plain=policy.plain) as writer,
            WriterPool(root, policy.owner) as pool,
        ):
            return _Receiving(call, writer, pool, policy, listing, known, progress).run()
    except StatusError:
        raise
    except OSError as error:
        failure = from_os_error(error, "write the file")
        _complain(call, failure.reason)
        raise failure from error
    except LaminaError as error:
        _complain(call, error.reason)
        raise


class _Receiving:
    """One transfer. This thread reads, compares, creates directories and writes large files.

    The pool writes the small ones, because creating files takes most of the time.
    """

    def __init__(
        self,
        call: Call,
        writer: FileWriter,
        pool: WriterPool,
        policy: Policy,
        listing: Listing | None,
        known: Sequence[bytes],
        progress: Callable[[int], None] | None,
    ) -> None:
        self._call = call
        self._writer = writer
        self._pool = pool
        self._policy = policy
        self._listing = listing
        self._known = known if policy.trust_metadata and listing is None else ()
        self._unchanged: frozenset[bytes] = frozenset()
        self._stats: dict[bytes, None] = {}  # ordered
        self._complete = listing is None  # no packet is missing in `_stats`
        self._progress = progress
        self._order = _Order(writer, delete=policy.delete)
        self._pending: deque[tuple[int, Stat, bytes]] = deque()
        self._coming: dict[int, _Incoming] = {}
        self._open: dict[_Incoming, None] = {}
        self._links: list[Stat] = []
        self._sources: set[str] = set()
        self._folders: list[Stat] = []
        self._announced = self._fetched = self._transferred = self._size = 0
        self._all_announced = False
        self._plain = True

    def run(self) -> Received:
        unchanged = self._pass_known()
        try:
            while not (self._all_announced and not self._coming and not self._pending):
                self._take(self._next())
            if not unchanged:
                self._finish()
        finally:
            for incoming in self._coming.values():
                incoming.abandon()
        self._call.send(encode_fin())
        while decode_packet(message := self._next()).type != PacketType.FIN:
            self._take(message)
        return Received(
            self._announced,
            self._fetched,
            self._transferred,
            self._size,
            self._plain,
            None if unchanged else (*self._stats, *([_END] if self._complete else [])),
        )

    def _pass_known(self) -> bool:
        """Receive packets as long as they are the known ones. Returns whether all of them are.

        If not, those that were received are processed.
        """
        known = self._known
        if not known or known[-1] != _END:
            self._unchanged = frozenset(known)
            return False
        for count, expected in enumerate(known):
            message = self._next()
            if message != expected:
                self._unchanged = frozenset(known)
                for earlier in (*known[:count], message):
                    self._take(earlier)
                return False
        self._announced = len(known) - 1
        self._all_announced = True
        return True

    def _next(self) -> bytes:
        message = self._call.receive()
        if message is None:
            raise Unavailable("the file transfer ended early")
        self._transferred += len(message)
        if self._progress is not None:
            self._progress(self._transferred)
        return message

    def _take(self, message: bytes) -> None:
        packet = decode_packet(message)
        kind = packet.type
        if kind == PacketType.DATA:
            self._take_data(packet.id, packet.data)
        elif kind == PacketType.STAT:
            if packet.stat is None:
                self._order.close()
                self._all_announced = True
            elif self._all_announced:
                raise Corrupt(f"a file was announced after the end of the list: {packet.stat.path}")
            else:
                number = self._announced
                self._announced += 1
                wanted = [packet.stat] if self._listing is None else self._listing.take(packet.stat)
                for stat in wanted:  # the parents of a file, and the file
                    self._take_stat(number, stat, message)
        elif kind == PacketType.ERR:
            text = packet.data.decode("utf-8", "replace")
            raise Unavailable(f"the sender of files reported an error: {text}")
        elif kind == PacketType.FIN:
            raise Unavailable("the file transfer ended early")

    def _take_stat(self, number: int, stat: Stat, message: bytes) -> None:
        if self._policy.owner is not None:
            uid, gid = self._policy.owner
            stat = stat._replace(uid=uid, gid=gid)
        if stat.xattrs:
            self._plain = False
        exists = self._order.enter(stat.path)
        kind = stat.mode & filemode.TYPE
        is_file = not kind and not stat.linkname
        # A tool sets a time in whole seconds (an archiver, a checkout), for example to the same
        # value for any content, so without a validator it proves nothing.
        doubtful = is_file and not stat.validator and stat.mod_time % _SECOND == 0
        if doubtful:
            self._complete = False
        elif self._listing is None:
            self._stats[message] = None
        if is_file:
            self._sources.add(stat.path)
            self._size += stat.size
            if exists and message in self._unchanged:
                return
        existing = self._order.status(stat.path) if exists else None
        if kind & filemode.DIRECTORY:
            self._writer.folder(stat, existing)
            self._order.descend(stat.path, new=existing is None)
            self._folders.append(stat)
        elif stat.linkname and not kind & filemode.SYMLINK:
            if stat.linkname not in self._sources:
                raise Corrupt(f"{stat.path} is a link to {stat.linkname}, which was not announced")
            self._links.append(stat)
        elif kind:
            self._writer.special(stat, existing)
            if not kind & filemode.SYMLINK:
                self._sources.add(stat.path)
        elif not (
            existing is not None
            and self._policy.trust_metadata
            and not (doubtful or stat.validator)
            # The writer only knows the links that are not in `_unchanged`.
            and not (self._unchanged and existing.st_nlink > 1)
            and self._writer.is_current(stat, existing)
        ):
            self._pending.append((number, stat, message))
            self._ask()

    def _ask(self) -> None:
        while self._pending and len(self._coming) < _OUTSTANDING:
            number, stat, message = self._pending.popleft()
            self._coming[number] = _Incoming(self._writer, stat, message)
            self._call.send(encode_request(number))

    def _take_data(self, number: int, data: bytes) -> None:
        incoming = self._coming.get(number)
        if incoming is None:
            raise Corrupt(f"received content for file number {number}, which was not requested")
        if data:
            incoming.write(data)
            if incoming.is_open:
                self._limit_open(incoming)
            return
        del self._coming[number]
        self._open.pop(incoming, None)
        if not incoming.has_announced_digest():
            self._stats.pop(incoming.message, None)
            self._complete = False
        if incoming.is_begun:
            incoming.commit()
        else:
            self._pool.write(incoming.stat, incoming.held)
        self._fetched += 1
        self._ask()

    def _limit_open(self, incoming: _Incoming) -> None:
        """Close some descriptors: senders interleave a few files. A file of more is reopened."""
        self._open.pop(incoming, None)
        self._open[incoming] = None
        if len(self._open) > _OPEN_FILES:
            eldest = next(iter(self._open))
            del self._open[eldest]
            eldest.suspend()

    def _finish(self) -> None:
        """Do what must wait until every file is complete."""
        self._pool.wait()
        for stat in self._links:
            self._writer.link(stat)
        if self._listing is not None:
            self._listing.write(self._writer.directory(""))
        for stat in reversed(self._folders):
            self._writer.stamp(stat)


class _Incoming:
    """A file that is being received. A small one is kept in memory until it is complete."""

    __slots__ = ("_fd", "_hashed", "_name", "_writer", "held", "message", "stat")

    def __init__(self, writer: FileWriter, stat: Stat, message: bytes) -> None:
        self._writer = writer
        self.stat = stat
        self.message = message  # that announced it
        self.held = b""
        self._fd = -1
        self._name = ""
        self._hashed = sha256() if stat.validator.startswith(DIGEST) else None

    @property
    def is_begun(self) -> bool:
        """Whether a part of it has been written to disk."""
        return bool(self._name)

    @property
    def is_open(self) -> bool:
        return self._fd >= 0

    def has_announced_digest(self) -> bool:
        """Whether the complete content has the digest that was sent.

        The file may have changed in between.
        """
        digest = "" if self._hashed is None else DIGEST + self._hashed.hexdigest()
        return not digest or digest == self.stat.validator

    def write(self, data: bytes) -> None:
        if self._hashed is not None:
            self._hashed.update(data)
        if not self._name:
            if not self.held and len(data) <= _HELD:
                self.held = data
                return
            self._start()
        elif self._fd < 0:
            self._fd = self._writer.reopen(self.stat, self._name)
        write_all(self._fd, data)

    def suspend(self) -> None:
        """Close the descriptor; the next write opens it again."""
        os.close(self._fd)
        self._fd = -1

    def commit(self) -> None:
        """The content is complete: rename the file to its path."""
        if self._fd < 0:
            self._fd = self._writer.reopen(self.stat, self._name)
        try:
            self._writer.settle(self.stat, self._name, self._fd)
        finally:
            os.close(self._fd)
            self._fd = -1

    def abandon(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        if self._name:
            self._writer.discard(self.stat, self._name)

    def _start(self) -> None:
        self._fd, self._name = self._writer.begin(self.stat)
        if self.held:
            write_all(self._fd, self.held)
            self.held = b""


class _Order:
    """Checks the sender's order: parents before children, names ascending, no duplicates.

    It also tracks the existing files of each open directory, so that those that are not sent can be
    removed when the directory is left.
    """

    def __init__(self, writer: FileWriter, *, delete: bool) -> None:
        self._writer = writer
        self._delete = delete
        self._frames: list[_Frame] = []
        self.descend("", new=False)

    def enter(self, path: str) -> bool:
        """Check that a path is allowed next. Returns whether there is a file."""
        parent, _, name = path.rpartition("/")
        if name in ("", ".", "..") or "\0" in path or len(path) >= _PATH_MAX:
            raise Corrupt(f"a file has an invalid path: {path!r}")
        while self._frames and self._frames[-1].path != parent:
            self._leave()
        if not self._frames:
            raise Corrupt(f"{path} arrived out of order, or before its directory")
        frame = self._frames[-1]
        encoded = name.encode("utf-8", "surrogateescape")
        if encoded <= frame.last:
            raise Corrupt(f"{path} arrived out of order")
        frame.last = encoded
        if name not in frame.names:
            return False
        if self._delete:
            frame.names.discard(name)
        return True

    def status(self, path: str) -> os.stat_result:
        """The status of an existing file, whose path was checked."""
        parent, _, name = path.rpartition("/")
        return os.lstat(name, dir_fd=self._writer.directory(parent))

    def descend(self, path: str, *, new: bool) -> None:
        names = set() if new else set(os.listdir(self._writer.directory(path)))
        self._frames.append(_Frame(path, names))

    def close(self) -> None:
        """All stats have been received."""
        while self._frames:
            self._leave()

    def _leave(self) -> None:
        frame = self._frames.pop()
        if self._delete:
            for name in frame.names:
                self._writer.remove(f"{frame.path}/{name}" if frame.path else name)


class _Frame:
    __slots__ = ("last", "names", "path")

    def __init__(self, path: str, names: set[str]) -> None:
        self.path = path
        self.names = names
        self.last = b""


def _complain(call: Call, text: str) -> None:
    """Send the error to the sender, if it is still connected."""
    try:
        call.send(encode_error(text))
    except StatusError:
        return

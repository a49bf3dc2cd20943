"""Destinations for bytes: a file that appears only when it is complete, or a stream."""

from __future__ import annotations

import errno
import os
import stat
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from lamina.base.errors import InvalidInput, from_os_error
from lamina.system.descriptors import can_write, descriptor_behind, write_all

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lamina.system.cancel import Cancellation

_NO_NEIGHBOURS = (errno.EACCES, errno.EPERM, errno.EROFS)
_PIECE = 1 << 20
_PERIOD = 0.05


class ByteSink(Protocol):
    """Writes all bytes that it gets."""

    def write(self, chunk: bytes, /) -> object: ...


class _FdSink:
    def __init__(self, fd: int, name: str, cancel: Cancellation | None = None) -> None:
        self._fd = fd
        self._name = name
        self._check = None if cancel is None else cancel.check

    def write(self, chunk: bytes, /) -> None:
        try:
            write_all(self._fd, chunk, self._check)
        except BrokenPipeError:
            raise
        except OSError as error:
            error.filename = self._name
            raise from_os_error(error, "write") from error


@contextmanager
def open_sink(dest: str, cancel: Cancellation | None = None) -> Iterator[ByteSink]:
    """Open `dest` for writing; `-` is stdout, which must not be a terminal.

    Otherwise as `open_file`. Raises InvalidInput, PermissionDenied, NotFound, Exhausted.
    """
    if dest != "-":
        with open_file(dest, cancel) as sink:
            yield sink
        return
    sys.stdout.flush()
    if os.isatty(1):
        raise InvalidInput(
            "an archive is not written to a terminal",
            hint="add dest=FILE to --output, or redirect the output",
        )
    if not can_write(1):
        raise InvalidInput("standard output is closed", hint="redirect it, or add dest=FILE")
    yield _FdSink(1, "stdout")


@contextmanager
def open_file(path: str, cancel: Cancellation | None = None) -> Iterator[ByteSink]:
    """Open a path that a user named, for writing.

    A regular file replaces an earlier one, with its mode, only when the block ends without an
    error. If it cannot be replaced, for example because it is a mount point, it is written in
    place. A link stays a link: its target is written. A pipe or a device is written to, and so is
    a descriptor of this process (`/dev/stdout`), from its current position. Opening a pipe waits
    for its reader, until `cancel`.

    Raises InvalidInput, PermissionDenied, NotFound, Exhausted, Cancelled.
    """
    descriptor = descriptor_behind(path)
    if descriptor is not None:
        yield _FdSink(descriptor, path)
        return
    try:
        mode = os.stat(path).st_mode
    except OSError:
        mode = None
    if mode is not None and stat.S_ISDIR(mode):
        raise InvalidInput(f"the destination {path} is a directory", hint="set dest to a file name")
    if mode is not None and not stat.S_ISREG(mode):
        with _opened(path, os.O_WRONLY | os.O_NONBLOCK, cancel=cancel) as fd:
            yield _FdSink(fd, path, cancel)
        return
    target = os.path.realpath(path)
    part = f"{target}.{os.urandom(4).hex()}.part"
    try:
        with _part(part, None if mode is None else target) as fd:
            if mode is not None:
                os.fchmod(fd, stat.S_IMODE(mode))
            yield _FdSink(fd, path)
        if os.path.lexists(part):
            _put_in_place(part, target)
    except BaseException:
        if os.path.lexists(part):
            os.unlink(part)
        raise


@contextmanager
def _part(part: str, earlier: str | None) -> Iterator[int]:
    """A new file next to an earlier one, or the earlier one if no file can be made there."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        fd = os.open(part, flags, 0o666)
    except OSError as error:
        if earlier is None or error.errno not in _NO_NEIGHBOURS:
            raise from_os_error(error, "create") from error
        with _opened(earlier, os.O_WRONLY | os.O_TRUNC) as fd:
            yield fd
        return
    try:
        yield fd
    finally:
        os.close(fd)


def _put_in_place(part: str, target: str) -> None:
    try:
        os.rename(part, target)
    except OSError as error:
        if error.errno != errno.EBUSY:  # the file is a mount point
            raise from_os_error(error, "write") from error
        with open(part, "rb") as source, _opened(target, os.O_WRONLY | os.O_TRUNC) as fd:
            while piece := source.read(_PIECE):
                write_all(fd, piece)
        os.unlink(part)


@contextmanager
def _opened(path: str, flags: int, *, cancel: Cancellation | None = None) -> Iterator[int]:
    """Open a path. If it is a pipe and `flags` do not block, wait for a reader."""
    while True:
        try:
            fd = os.open(path, flags | os.O_CLOEXEC)
            break
        except OSError as error:
            if error.errno != errno.ENXIO or not _is_pipe(path):
                raise from_os_error(error, "open") from error
        if cancel is not None:
            cancel.check()
        time.sleep(_PERIOD)
    try:
        yield fd
    finally:
        os.close(fd)


def _is_pipe(path: str) -> bool:
    return stat.S_ISFIFO(os.stat(path).st_mode)

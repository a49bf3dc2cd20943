"""Where an artifact's bytes go: a file that appears whole, or a stream."""

from __future__ import annotations

import os
import stat
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from lamina.base.errors import InvalidInput, from_os_error

if TYPE_CHECKING:
    from collections.abc import Iterator


class ByteSink(Protocol):
    """Takes all the bytes it is given."""

    def write(self, chunk: bytes, /) -> object: ...


class _FdSink:
    def __init__(self, fd: int, name: str) -> None:
        self._fd = fd
        self._name = name

    def write(self, chunk: bytes, /) -> None:
        view = memoryview(chunk)
        try:
            while view:
                view = view[os.write(self._fd, view) :]
        except BrokenPipeError:
            raise
        except OSError as error:
            error.filename = self._name
            raise from_os_error(error, "write") from error


@contextmanager
def open_sink(dest: str) -> Iterator[ByteSink]:
    """Open `dest` for writing; `-` is stdout, which must not be a terminal.

    A regular file takes the place of an earlier one only when the block ends without an
    error. Raises InvalidInput, PermissionDenied, NotFound, Exhausted.
    """
    if dest == "-":
        sys.stdout.flush()
        if os.isatty(1):
            raise InvalidInput(
                "an archive would garble the terminal",
                hint="add dest=FILE to --output, or redirect the output",
            )
        yield _FdSink(1, "stdout")
        return
    try:
        special = not stat.S_ISREG(os.stat(dest).st_mode)
    except OSError:
        special = False
    if special and os.path.isdir(dest):
        raise InvalidInput(f"the destination {dest} is a folder", hint="give a file's name as dest")
    if special:
        with _opened(dest, os.O_WRONLY) as fd:
            yield _FdSink(fd, dest)
        return
    target = os.path.realpath(dest)  # a link to a file stays a link
    part = f"{target}.{os.urandom(4).hex()}.part"
    try:
        with _opened(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL) as fd:
            yield _FdSink(fd, dest)
        os.rename(part, target)
    except BaseException:
        if os.path.lexists(part):
            os.unlink(part)
        raise


@contextmanager
def _opened(path: str, flags: int) -> Iterator[int]:
    try:
        fd = os.open(path, flags | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise from_os_error(error, "create") from error
    try:
        yield fd
    finally:
        os.close(fd)

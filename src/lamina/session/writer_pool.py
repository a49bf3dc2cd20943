"""Threads that write small files while another thread receives."""

from __future__ import annotations

import threading
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING

from lamina.session.file_writer import FileWriter
from lamina.system.threads import WorkerPool

if TYPE_CHECKING:
    from lamina.api.filesync import Stat

_THREADS = 3
_QUEUED = 64


class WriterPool:
    """Each thread has its own descriptors of the root, so a file may be written only once.

    Use it as a context manager. At its end, queued files are dropped unless `wait` was called.
    """

    def __init__(self, root: str, owner: tuple[int, int] | None) -> None:
        self._root = root
        self._owner = owner
        self._pool = WorkerPool(_THREADS, "receive-write")
        self._room = threading.BoundedSemaphore(_QUEUED)
        self._writers: list[FileWriter] = []
        self._free: SimpleQueue[FileWriter] = SimpleQueue()
        self._failure: BaseException | None = None
        self._dropped = False

    def write(self, stat: Stat, content: bytes) -> None:
        """Queue a file; waits while many are queued. Raises the error of an earlier one."""
        self._room.acquire()
        if self._failure is not None:
            self._room.release()
            raise self._failure
        self._pool.submit(partial(self._write, stat, content))

    def wait(self) -> None:
        """Wait until all are written. Raises the first error."""
        for _ in range(_QUEUED):
            self._room.acquire()
        for _ in range(_QUEUED):
            self._room.release()
        if self._failure is not None:
            raise self._failure

    def __enter__(self) -> WriterPool:
        for _ in range(_THREADS):
            writer = FileWriter(self._root, self._owner)
            self._writers.append(writer)
            self._free.put(writer)
        self._pool.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self._dropped = True
        self._pool.__exit__(None, None, None)
        for writer in self._writers:
            writer.__exit__()

    def _write(self, stat: Stat, content: bytes) -> None:
        try:
            if not self._dropped and self._failure is None:
                writer = self._free.get()
                try:
                    writer.write(stat, content)
                finally:
                    self._free.put(writer)
        except BaseException as error:
            self._failure = error
        finally:
            self._room.release()

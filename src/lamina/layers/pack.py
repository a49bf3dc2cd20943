"""Packs entries into a layer blob: tar, digests and compression in a pipeline of threads."""

from __future__ import annotations

import os
import queue
import stat
import threading
from hashlib import sha256
from typing import TYPE_CHECKING, Protocol

from lamina.base.digest import Digest
from lamina.base.errors import Corrupt
from lamina.base.named_tuple import NamedTuple
from lamina.layers.compression import Compression, make_compressor
from lamina.layers.writer import END, header, padding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from hashlib import _Hash

    from lamina.layers.entry import Entry
    from lamina.layers.reader import TarReader
    from lamina.system.cancel import Cancellation

_CHUNK = 1 << 20
_BATCH = 1 << 20
_DEPTH = 8


class Packed(NamedTuple):
    """A layer as written: `diff_id` is the digest of the tar, `digest` of the blob."""

    diff_id: Digest
    digest: Digest
    size: int
    plain_size: int


class Content(Protocol):
    """The source of a regular file's bytes."""

    def open(self) -> int:
        """A file descriptor that the packer closes."""
        ...

    def begin(self, status: os.stat_result) -> _Hash | None:
        """A hash to update with the bytes that are read, or None if the content is not checked."""
        ...

    def check(self, hashed: _Hash | None) -> None:
        """Called after reading. Raises Unavailable if the content is not the expected one."""
        ...


Member = tuple["Entry", "bytes | Content | None"]


class BlobSink(Protocol):
    def write(self, chunk: bytes, /) -> object: ...


def pack(
    members: Iterable[Member], sink: BlobSink, compression: Compression, cancel: Cancellation
) -> Packed:
    """Write a layer of `members`, in this order, to `sink`.

    This thread reads files, makes the tar and hashes it. A second thread compresses it, and a third
    one hashes and writes the result, in parallel.
    """
    pipeline = _Pipeline(sink, compression)
    with pipeline:
        batch = bytearray()
        for entry, content in members:
            cancel.check()
            batch += header(entry)
            if isinstance(content, bytes):
                batch += content
                batch += padding(len(content))
            elif content is not None:
                batch = _append_file(batch, entry, content, pipeline)
            if len(batch) >= _BATCH:
                pipeline.feed(bytes(batch))
                batch = bytearray()
        batch += END
        pipeline.feed(bytes(batch))
    return pipeline.packed()


def pack_changed(
    reader: TarReader,
    change: Callable[[Entry], Entry],
    sink: BlobSink,
    compression: Compression,
    cancel: Cancellation,
) -> Packed:
    """Write a layer with the entries of another one, with changed headers and equal content."""
    pipeline = _Pipeline(sink, compression)
    with pipeline:
        batch = bytearray()
        for entry in reader:
            cancel.check()
            batch += header(change(entry))
            if entry.kind == stat.S_IFREG and not entry.hard_link:
                for chunk in reader.content():
                    batch += chunk
                    if len(batch) >= _BATCH:
                        pipeline.feed(bytes(batch))
                        batch = bytearray()
                batch += padding(entry.size)
        batch += END
        pipeline.feed(bytes(batch))
    return pipeline.packed()


def write_tar(members: Iterable[Member], sink: BlobSink, cancel: Cancellation) -> int:
    """Write an uncompressed tar of `members`. Returns its size."""
    from lamina.layers.compression import Algorithm

    return pack(members, sink, Compression(Algorithm.NONE), cancel).plain_size


def _append_file(
    batch: bytearray, entry: Entry, content: Content, pipeline: _Pipeline
) -> bytearray:
    fd = content.open()
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise Corrupt(f"{entry.path} is not a regular file any more")
        left = entry.size
        hashed = content.begin(status)
        while left:
            chunk = os.read(fd, min(left, _CHUNK))
            if not chunk:
                break
            if hashed is not None:
                hashed.update(chunk)
            left -= len(chunk)
            batch += chunk
            if len(batch) >= _BATCH:
                pipeline.feed(bytes(batch))
                batch = bytearray()
        content.check(hashed)
        if left:
            raise Corrupt(f"{entry.path} became shorter while it was packed")
    finally:
        os.close(fd)
    batch += padding(entry.size)
    return batch


class _Pipeline:
    """The later stages of packing: compressing, hashing and writing."""

    def __init__(self, sink: BlobSink, compression: Compression) -> None:
        self._sink = sink
        self._compressor = make_compressor(compression)
        self._plain = sha256()
        self._packed = sha256()
        self._plain_size = 0
        self._size = 0
        self._writing = _Stage("write a layer", self._write)
        self._compressing = _Stage("compress a layer", self._compress)

    def __enter__(self) -> None:
        self._writing.start()
        self._compressing.start()

    def __exit__(self, *exception: object) -> None:
        self._compressing.end()
        try:
            if exception[0] is None and self._compressing.failure is None:
                self._write_on(self._compressor.flush())
        finally:
            self._writing.end()
        failure = self._compressing.failure or self._writing.failure
        if failure is not None and exception[0] is None:
            raise failure

    def feed(self, data: bytes) -> None:
        self._compressing.take(data)
        self._plain.update(data)
        self._plain_size += len(data)

    def packed(self) -> Packed:
        return Packed(
            Digest("sha256:" + self._plain.hexdigest()),
            Digest("sha256:" + self._packed.hexdigest()),
            self._size,
            self._plain_size,
        )

    def _compress(self, data: bytes) -> None:
        self._write_on(self._compressor.compress(data))

    def _write_on(self, data: bytes) -> None:
        if data:
            self._writing.take(data)

    def _write(self, data: bytes) -> None:
        self._packed.update(data)
        self._size += len(data)
        self._sink.write(data)


class _Stage:
    """A thread that processes pieces in order. An error in it is raised by `take`."""

    def __init__(self, name: str, work: Callable[[bytes], None]) -> None:
        self.failure: BaseException | None = None
        self._work = work
        self._queue: queue.Queue[bytes | None] = queue.Queue(_DEPTH)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def take(self, data: bytes) -> None:
        if self.failure is not None:
            raise self.failure
        self._queue.put(data)

    def end(self) -> None:
        """Wait until everything is done, or an error occurs."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        try:
            while (data := self._queue.get()) is not None:
                self._work(data)
        except BaseException as error:
            self.failure = error
            while self._queue.get() is not None:
                continue  # do not block the feeder; it will find the error

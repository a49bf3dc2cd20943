"""Splits large blobs into the parts of an upload, and sends them in parallel."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from lamina.base.named_tuple import NamedTuple
from lamina.objectstores.contract import PART
from lamina.objectstores.service import Body
from lamina.system.threads import in_parallel

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from lamina.objectstores.contract import BlobSource
    from lamina.system.cancel import Cancellation

_MOST = 10_000  # the limit of S3; Azure allows 50,000
_SIDE_BY_SIDE = 4


class Part(NamedTuple):
    """A part of a blob; numbers begin with 1."""

    number: int
    offset: int
    size: int


def parts_of(size: int) -> list[Part]:
    """The parts of a blob. A size always gives the same parts, so that uploads can be resumed."""
    step = PART
    while step * _MOST < size:
        step *= 2
    return [
        Part(number, offset, min(step, size - offset))
        for number, offset in enumerate(range(0, size, step), 1)
    ]


def part_body(source: BlobSource, part: Part) -> Body:
    """The body of a request with one part."""

    def read() -> Iterator[bytes]:
        left = part.size
        for chunk in source.read(part.offset):
            yield chunk[:left]
            left -= len(chunk)
            if left <= 0:
                return

    return Body(read, part.size)


def send_parts(
    source: BlobSource,
    stored: Collection[int],
    send: Callable[[Part, Cancellation], None],
    cancel: Cancellation,
    progress: Callable[[int], None],
) -> None:
    """Send the parts whose numbers are not `stored`, up to 4 at a time."""
    parts = parts_of(source.size)
    lock = threading.Lock()
    done = sum(part.size for part in parts if part.number in stored)
    progress(done)

    def one(part: Part, cancel: Cancellation) -> None:
        nonlocal done
        send(part, cancel)
        with lock:
            done += part.size
            progress(done)

    missing = [part for part in parts if part.number not in stored]
    in_parallel(missing, one, _SIDE_BY_SIDE, cancel)

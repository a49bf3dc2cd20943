"""Returns freed memory from the C library to the kernel."""

from __future__ import annotations

import threading
import time
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_PERIOD = 1.0
_ARENA_MAX = -8  # M_ARENA_MAX of malloc.h
_lock = threading.Lock()
_last = 0.0


def trim(*, soon: bool = False) -> None:
    """Return freed memory to the system (`malloc_trim(3)`, if the C library has it).

    At most once a second, unless `soon`. Takes some milliseconds.
    """
    global _last
    with _lock:
        now = time.monotonic()
        if not soon and now - _last < _PERIOD:
            return
        _last = now
    _malloc_trim()(0)


def limit_arenas(count: int) -> None:
    """Limit the C library to `count` arenas (`mallopt(3)`, if it has it).

    By default threads spread over 8 per processor, and each keeps the pages of its fragments. Call
    it before any thread is started.
    """
    import ctypes

    if (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)) is not None:
        mallopt(_ARENA_MAX, count)


@cache
def _malloc_trim() -> Callable[[int], object]:
    import ctypes

    return getattr(ctypes.CDLL(None), "malloc_trim", lambda kept: None)

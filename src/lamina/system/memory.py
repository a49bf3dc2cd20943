"""Returns memory that this process has freed from the C library to the kernel."""

from __future__ import annotations

import threading
import time
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_PERIOD = 1.0
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


@cache
def _malloc_trim() -> Callable[[int], object]:
    import ctypes

    return getattr(ctypes.CDLL(None), "malloc_trim", lambda kept: None)

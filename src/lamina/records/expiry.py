"""Deletes records that need not be retained, after builds without a daemon."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from lamina.base.errors import LaminaError
from lamina.records.retention import configured_retention

if TYPE_CHECKING:
    from lamina.records.table import RecordTable
    from lamina.stores.store import Store

_EVERY = 3600.0  # seconds between two checks of all records
_MARK = "records/expired"  # the file whose time is that of the last check


def expire_sometimes(store: Store, table: RecordTable) -> None:
    """Apply the configured retention after a build, at most once an hour.

    Most builds only read the time of one file. After an error (the disk is full, the configuration
    is invalid), records are kept until the next time.
    """
    mark = store.path(_MARK)
    now = time.time()
    with suppress(LaminaError, OSError):
        try:
            if 0 <= now - os.stat(mark).st_mtime < _EVERY:
                return
        except FileNotFoundError:
            os.makedirs(os.path.dirname(mark), mode=0o700, exist_ok=True)
            os.close(os.open(mark, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        os.utime(mark)
        table.expire(configured_retention())

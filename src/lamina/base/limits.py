"""Limits on the size of untrusted input, set by environment variables.

BuildKit and containerd have no such limits, and the default here is none.
"""

from __future__ import annotations

import os

from lamina.base.errors import Exhausted, InvalidInput
from lamina.base.units import size_of

UNPACKED = "LAMINA_MAX_UNPACKED"
"""The maximum decompressed size in bytes of one layer, archive or cache mount."""
DOWNLOAD = "LAMINA_MAX_DOWNLOAD"
"""The maximum size in bytes of a downloaded file (`ADD` of a URL, a context's archive)."""


class SizeLimit:
    """Counts bytes against a limit in the environment. Raises InvalidInput if that is not a
    size."""

    def __init__(self, variable: str, what: str) -> None:
        value = os.environ.get(variable, "")
        try:
            self._most = size_of(value) if value else 0
        except (ValueError, OverflowError):
            raise InvalidInput(
                f'{variable} is "{value}", which is not a size', hint="a size looks like 20GB"
            ) from None
        self._variable = variable
        self._what = what
        self._size = 0

    def add(self, size: int) -> None:
        """Count bytes. Raises Exhausted if there are too many."""
        self._size += size
        if self._most and self._size > self._most:
            raise Exhausted(
                f"{self._what} is larger than {self._most} bytes",
                hint=f"{self._variable} sets this limit",
            )

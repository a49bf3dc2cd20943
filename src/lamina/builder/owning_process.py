"""The process that a builder, a build or a container belongs to."""

from __future__ import annotations

import os

from lamina.base.errors import InvalidInput
from lamina.states.caller import at_caller


class OwningProcess:
    """This process. A fork of it shares its sockets, and must not use them."""

    def __init__(self) -> None:
        self._pid = os.getpid()

    @property
    def is_current(self) -> bool:
        return os.getpid() == self._pid

    def check(self, what: str) -> None:
        """Raises InvalidInput in another process."""
        if not self.is_current:
            raise at_caller(
                InvalidInput(
                    f"the {what} belongs to the process that this one was forked from",
                    hint="call lamina.connect() in the child process",
                )
            )

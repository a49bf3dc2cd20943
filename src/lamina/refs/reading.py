"""Attempts to read a client's folder, which others may change meanwhile.

Content is digested for a cache key first, and copied later. What is copied must be what was
digested: the first attempt ends where it is not. The second one looks at the folder anew, and
takes what it finds; only its result is not remembered if the folder changes even then.
"""

from __future__ import annotations

from lamina.base.errors import Unavailable


class SourceChanged(Unavailable):
    """A file of a client's folder is not what it was when it was digested."""

    def __init__(self, path: str) -> None:
        super().__init__(
            f"{path} changed while the build was reading it",
            hint="build again when nothing writes to it",
        )


class Reading:
    """One attempt. `changed` tells whether something was not what it had been."""

    def __init__(self, *, tolerant: bool = False) -> None:
        self._tolerant = tolerant
        self.changed = False

    def differs(self, path: str) -> None:
        """A file is not what was digested. Raises SourceChanged if that is not tolerated."""
        if not self._tolerant:
            raise SourceChanged(path)
        self.changed = True

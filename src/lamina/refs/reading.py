"""Attempts to read a client's directory, which may change meanwhile.

Content is first digested for a cache key, and later copied. The first attempt ends when a file is
not what was digested. The second attempt digests the directory anew and tolerates changes; if there
are any, the result is not stored.
"""

from __future__ import annotations

from lamina.base.errors import Unavailable


class SourceChanged(Unavailable):
    """A file of a client's directory changed after it was digested."""

    def __init__(self, path: str) -> None:
        super().__init__(
            f"{path} changed while the build was reading it",
            hint="build again when nothing writes to it",
        )


class Reading:
    """An attempt. `changed` is whether a file had changed."""

    def __init__(self, *, tolerant: bool = False) -> None:
        self._tolerant = tolerant
        self.changed = False

    def differs(self, path: str) -> None:
        """Record that a file changed. Raises SourceChanged if that is not tolerated."""
        if not self._tolerant:
            raise SourceChanged(path)
        self.changed = True

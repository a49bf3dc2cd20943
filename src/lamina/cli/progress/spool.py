"""A vertex's log, kept until the vertex has succeeded or failed."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_IN_MEMORY = 1 << 18
_CHUNK = 1 << 18


class LogSpool:
    """A log. Small ones are kept in memory, large ones in an unnamed temporary file."""

    __slots__ = ("_file", "_memory")

    def __init__(self) -> None:
        self._memory = bytearray()
        self._file: IO[bytes] | None = None

    def add(self, data: bytes) -> None:
        """Add data. Raises nothing: if the file cannot grow, the start of the log is dropped."""
        self._memory += data
        if len(self._memory) <= _IN_MEMORY:
            return
        try:
            if self._file is None:
                import tempfile

                self._file = tempfile.TemporaryFile()  # noqa: SIM115
            self._file.write(self._memory)
            self._memory.clear()
        except OSError:
            del self._memory[:-_IN_MEMORY]

    def chunks(self) -> Iterator[bytes]:
        """The log, from its start."""
        if self._file is not None:
            self._file.seek(0)
            while data := self._file.read(_CHUNK):
                yield data
        if self._memory:
            yield bytes(self._memory)

    def drop(self) -> None:
        """Discard the log."""
        self._memory.clear()
        if self._file is not None:
            self._file.close()
            self._file = None

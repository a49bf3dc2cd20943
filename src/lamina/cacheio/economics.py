"""`mode=auto`: export a result if moving it costs less than making it again.

The time of a step comes from the build itself. The cost of its layers is the time to upload them
now and to download them once. The rate is measured: by what this build has read from and written
to the backend.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lamina.base.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from lamina.base.digest import Digest
    from lamina.base.oci import Descriptor
    from lamina.base.reference import Reference
    from lamina.registry.upload import Content
    from lamina.system.cancel import Cancellation

_ENOUGH = 1 << 20
"""The bytes that must have been moved before a measured rate counts."""
_ASSUMED = 25e6
"""Bytes per second, before anything is measured: a slow link between a runner and a store."""
_DISK = 500e6
"""Bytes per second of a directory."""
_REQUEST = 0.1
"""The seconds that a layer costs in addition to its bytes."""


class TransferRate:
    """Measures the rate of a backend in bytes per second. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._size = 0
        self._seconds = 0.0

    def add(self, size: int, seconds: float) -> None:
        with self._lock:
            self._size += size
            self._seconds += seconds

    @property
    def value(self) -> float:
        """The measured rate, or an assumed one."""
        with self._lock:
            if self._size < _ENOUGH or not self._seconds:
                return _ASSUMED
            return self._size / self._seconds

    @contextmanager
    def measuring(self, content: Content) -> Iterator[Content]:
        """Measure the transfer of what is read of `content` in the block."""
        counted = _Counted(content)
        started = time.monotonic()
        try:
            yield counted
        finally:
            if counted.size:
                self.add(counted.size, time.monotonic() - started)


class _Counted:
    """Content that counts the bytes that are read."""

    def __init__(self, content: Content) -> None:
        self._content = content
        self._lock = threading.Lock()
        self.size = 0

    def document(self, descriptor: Descriptor, cancel: Cancellation) -> bytes:
        return self._content.document(descriptor, cancel)

    def chunks(
        self, descriptor: Descriptor, cancel: Cancellation, offset: int = 0
    ) -> Iterator[bytes]:
        for chunk in self._content.chunks(descriptor, cancel, offset):
            with self._lock:
                self.size += len(chunk)
            yield chunk

    def repositories(self, descriptor: Descriptor) -> Sequence[Reference]:
        return self._content.repositories(descriptor)


class Decision(NamedTuple):
    """Whether a result is exported. `size` is that of its layers that are not exported already, in
    bytes; `move` the seconds to move them; `make` those of the step, None if it did not run."""

    step: str
    exported: bool
    size: int
    move: float
    make: float | None

    @property
    def reason(self) -> str:
        """The decision as text."""
        size = f"{self.size / 1e6:.1f} MB"
        if self.make is None:
            return "it did not run in this build, so its time is not known"
        verdict = "more" if self.exported else "less"
        return f"it took {self.make:.1f} s, {verdict} than moving {size} ({self.move:.1f} s)"

    def to_json(self) -> dict[str, object]:
        return {
            "step": self.step,
            "exported": self.exported,
            "bytes": self.size,
            "moveSeconds": round(self.move, 3),
            "makeSeconds": None if self.make is None else round(self.make, 3),
            "reason": self.reason,
        }


def rate_of(backend: object) -> float:
    """The rate of a backend; of one without a meter, a directory, that of a disk."""
    rate = getattr(backend, "rate", None)
    return rate.value if isinstance(rate, TransferRate) else _DISK


class Economics:
    """Decides about the results of one export, inputs before their users.

    Args:
        seconds: how long the steps took that made snapshots in this build, by snapshot.
        rate: of the backend, in bytes per second.
    """

    def __init__(self, seconds: Mapping[int, float], rate: float) -> None:
        self._seconds = seconds
        self.rate = rate
        self._moved: set[Digest] = set()
        self._decided: dict[int, Decision] = {}

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """The decisions so far, one for each snapshot."""
        return tuple(self._decided.values())

    def include(self, layers: Sequence[Descriptor]) -> None:
        """Layers that are exported in any case."""
        self._moved.update(layer.digest for layer in layers)

    def takes(self, snapshot: int, step: str, layers: Sequence[Descriptor]) -> bool:
        """Whether to export the result with this snapshot and all its layers."""
        decided = self._decided.get(snapshot)
        if decided is None:
            new = [layer for layer in layers if layer.digest not in self._moved]
            size = sum(layer.size for layer in new)
            move = 2 * (size / self.rate + _REQUEST * len(new))
            make = self._seconds.get(snapshot)
            exported = make is None or not new or make > move
            decided = self._decided[snapshot] = Decision(step, exported, size, move, make)
            if exported:
                self.include(new)
        return decided.exported

"""`google.protobuf.Timestamp`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.named_tuple import NamedTuple
from lamina.wire.fields import integer

if TYPE_CHECKING:
    from lamina.wire.protobuf import Schema

_SECOND = 1_000_000_000


class Timestamp(NamedTuple):
    """A time: `seconds` since 1970 in UTC, and `nanos` after them (0 to 999,999,999)."""

    seconds: int = 0
    nanos: int = 0

    @property
    def nanoseconds(self) -> int:
        """Nanoseconds since 1970."""
        return self.seconds * _SECOND + self.nanos


SCHEMA: Schema = {Timestamp: (integer(1, "seconds"), integer(2, "nanos"))}


def at_nanoseconds(moment: int) -> Timestamp:
    """The timestamp for nanoseconds since 1970; negative before that."""
    return Timestamp(*divmod(moment, _SECOND))


def at_seconds(moment: float) -> Timestamp:
    """The timestamp for a result of `time.time()`."""
    return at_nanoseconds(round(moment * _SECOND))

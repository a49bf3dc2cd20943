"""The outputs and caches of a request, for `moby.buildkit.v1.Control`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.named_tuple import NamedTuple
from lamina.wire.fields import mapping, string

if TYPE_CHECKING:
    from lamina.wire.protobuf import Schema


class CacheOptionsEntry(NamedTuple):
    """A cache import or export. `type` is `registry`, `local`, `inline`, …"""

    type: str = ""
    attrs: tuple[tuple[str, str], ...] = ()


class Exporter(NamedTuple):
    """One output. In a session, a file output is identified by its index in the request."""

    type: str = ""
    attrs: tuple[tuple[str, str], ...] = ()


SCHEMA: Schema = {
    CacheOptionsEntry: (string(1, "type"), mapping(2, "attrs")),
    Exporter: (string(1, "type"), mapping(2, "attrs")),
}

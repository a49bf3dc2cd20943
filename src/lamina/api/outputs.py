"""What a request says of its outputs and caches, for `moby.buildkit.v1.Control`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.named_tuple import NamedTuple
from lamina.wire.fields import mapping, string

if TYPE_CHECKING:
    from lamina.wire.protobuf import Schema


class CacheOptionsEntry(NamedTuple):
    """`type` is `registry`, `local`, `inline`, …"""

    type: str = ""
    attrs: tuple[tuple[str, str], ...] = ()


class Exporter(NamedTuple):
    """One output; a session's files know it by its place in the request, as a number."""

    type: str = ""
    attrs: tuple[tuple[str, str], ...] = ()


SCHEMA: Schema = {
    CacheOptionsEntry: (string(1, "type"), mapping(2, "attrs")),
    Exporter: (string(1, "type"), mapping(2, "attrs")),
}

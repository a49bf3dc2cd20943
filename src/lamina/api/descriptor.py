"""Descriptors of blobs in messages (`Descriptor` of control and gateway, which are equal)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.named_tuple import NamedTuple
from lamina.wire.fields import integer, mapping, string

if TYPE_CHECKING:
    from lamina.wire.protobuf import Schema


class Descriptor(NamedTuple):
    media_type: str = ""
    digest: str = ""
    size: int = 0
    annotations: tuple[tuple[str, str], ...] = ()


SCHEMA: Schema = {
    Descriptor: (
        string(1, "media_type"),
        string(2, "digest"),
        integer(3, "size"),
        mapping(5, "annotations"),
    ),
}

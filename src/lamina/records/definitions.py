"""Removes credentials from the definitions that a build solves, for its record."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.digest import digest_of
from lamina.base.named_tuple import NamedTuple
from lamina.base.redact import redacted_bytes, redacted_values
from lamina.llb.codec import decode_op, encode_op

if TYPE_CHECKING:
    from lamina.llb.op import Definition


class RecordedDefinition(NamedTuple):
    """A definition without credentials in its URLs.

    `renamed` maps the digests of ops with credentials to those of the recorded ops. The inputs of
    other ops, and the locations, still have the original digests.
    """

    definition: Definition
    renamed: tuple[tuple[str, str], ...] = ()


def recorded_definition(definition: Definition) -> RecordedDefinition:
    """Remove credentials from a definition, and from the definitions that texts are from."""
    ops = []
    renamed = []
    for data in definition.ops:
        shown = _without_credentials(data)
        ops.append(shown)
        if shown is not data:
            renamed.append((str(digest_of(data)), str(digest_of(shown))))
    source = definition.source
    if source is not None:
        infos = (
            info._replace(data=redacted_bytes(info.data), definition=None) for info in source.infos
        )
        source = source._replace(infos=tuple(infos))
    return RecordedDefinition(
        definition._replace(
            ops=tuple(ops), metadata=redacted_values(definition.metadata), source=source
        ),
        tuple(renamed),
    )


def _without_credentials(data: bytes) -> bytes:
    if b"@" not in data or b"://" not in data:
        return data
    op = decode_op(data)
    shown = redacted_values(op)
    return data if shown == op else encode_op(shown)

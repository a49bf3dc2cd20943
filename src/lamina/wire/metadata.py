"""Converts metadata to header fields and back (grpc `PROTOCOL-HTTP2.md`): `-bin` values are
base64."""

from __future__ import annotations

import binascii
from typing import TYPE_CHECKING

from lamina.wire.contract import Code, StatusError

if TYPE_CHECKING:
    from lamina.wire.contract import Metadata
    from lamina.wire.headers import Fields

_OURS = frozenset((b"content-type", b"te"))
_NAME = frozenset(b"0123456789abcdefghijklmnopqrstuvwxyz_-.")


def metadata_fields(metadata: Metadata) -> Fields:
    """Encode metadata. Raises StatusError(INTERNAL) for what headers cannot contain."""
    fields: Fields = []
    for name, value in metadata:
        key = name.lower().encode()
        if not key or not _NAME.issuperset(key):
            raise StatusError(Code.INTERNAL, f"metadata cannot be named {name!r}")
        if isinstance(value, bytes):
            if not name.endswith("-bin"):
                raise StatusError(Code.INTERNAL, f"metadata {name!r} is bytes, but not named -bin")
            fields.append((key, encode_binary(value)))
            continue
        text = value.encode("utf-8", "surrogateescape").strip(b" ")
        # UTF-8 is not in the specification, but servers accept it: names of directories have it.
        if any(byte < 0x20 or byte == 0x7F for byte in text):
            raise StatusError(
                Code.INTERNAL,
                f'header key "{name}" contains value with non-printable ASCII characters',
            )
        fields.append((key, text))
    return fields


def read_metadata(fields: Fields) -> Metadata:
    """The metadata in a header block. Raises StatusError(INTERNAL) for invalid base64."""
    metadata: list[tuple[str, str | bytes]] = []
    for key, value in fields:
        if key[:1] == b":" or key in _OURS or key.startswith(b"grpc-"):
            continue
        name = key.decode("utf-8", "replace")
        if name.endswith("-bin"):
            # A proxy may have joined fields of one name by commas.
            metadata += ((name, decode_binary(part.strip())) for part in value.split(b","))
        else:
            metadata.append((name, value.decode("utf-8", "surrogateescape")))
    return tuple(metadata)


def encode_binary(value: bytes) -> bytes:
    return binascii.b2a_base64(value, newline=False).rstrip(b"=")


def decode_binary(value: bytes) -> bytes:
    """Decode base64 with or without padding. Raises StatusError(INTERNAL)."""
    bare = value.rstrip(b"=")
    try:
        return binascii.a2b_base64(bare + b"=" * (-len(bare) % 4), strict_mode=True)
    except binascii.Error as error:
        raise StatusError(Code.INTERNAL, f"binary metadata is not base64: {error}") from error

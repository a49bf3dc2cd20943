"""Decryption with RSA keys in PEM files: PKCS #1 (RFC 8017), padding of version 1.5."""

from __future__ import annotations

import re

from lamina.base.named_tuple import NamedTuple

_PEM = re.compile(r"-----BEGIN RSA PRIVATE KEY-----(.*?)-----END RSA PRIVATE KEY-----", re.DOTALL)
_SEQUENCE, _INTEGER = 0x30, 0x02


class PrivateKey(NamedTuple):
    modulus: int
    exponent: int


def parse_private_key(pem: str) -> PrivateKey:
    """Read the first key of a PEM text. Raises ValueError."""
    from base64 import b64decode

    match = _PEM.search(pem)
    if match is None:
        raise ValueError("the private key is no PEM text of an RSA key")
    if "ENCRYPTED" in match[1]:
        raise ValueError("the private key has a passphrase; remove it before use")
    try:
        numbers = _integers(b64decode("".join(match[1].split()), validate=True))
        return PrivateKey(numbers[1], numbers[3])
    except (ValueError, IndexError):
        raise ValueError("the private key is malformed") from None


def decrypt(ciphertext: bytes, key: PrivateKey) -> bytes:
    """Raises ValueError if the text was not encrypted for this key."""
    size = (key.modulus.bit_length() + 7) // 8
    number = int.from_bytes(ciphertext, "big")
    if number >= key.modulus:
        raise ValueError("the ciphertext is not for this key")
    padded = pow(number, key.exponent, key.modulus).to_bytes(size, "big")
    padding, separator, message = padded[2:].partition(b"\0")
    if padded[:2] != b"\0\2" or not separator or len(padding) < 8:
        raise ValueError("the ciphertext is not for this key")
    return message


def _integers(data: bytes) -> list[int]:
    """The integers of a DER sequence."""
    body, _ = _element(data, _SEQUENCE)
    found = []
    while body:
        number, body = _element(body, _INTEGER)
        found.append(int.from_bytes(number, "big"))
    return found


def _element(data: bytes, tag: int) -> tuple[bytes, bytes]:
    """The contents of the first element, and the rest."""
    if len(data) < 2 or data[0] != tag:
        raise ValueError("unexpected element")
    size, start = data[1], 2
    if size & 0x80:
        start += size & 0x7F
        size = int.from_bytes(data[2:start], "big")
    if start + size > len(data):
        raise ValueError("an element is too short")
    return data[start : start + size], data[start + size :]

"""Ed25519 (RFC 8032, section 5.1): public keys and signatures.

Integer arithmetic instead of a dependency of 5 MB (docs/decisions/0002). The time depends on the
key, so this is only suitable for keys like those of `tokens`: each is made for one daemon, which
can request signatures of anything anyway, and no other service accepts it.
"""

from __future__ import annotations

from hashlib import sha512

from lamina.base.named_tuple import NamedTuple

_P = 2**255 - 19
_ORDER = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, -1, _P) % _P


class _Point(NamedTuple):
    """A point on the curve -x² + y² = 1 + dx²y², as (x/z, y/z); t = xy/z."""

    x: int
    y: int
    z: int
    t: int


_NEUTRAL = _Point(0, 1, 1, 0)
_BASE_X = 15112221349535400772501151409588531511454012693041857206046113283949847762202
_BASE_Y = 4 * pow(5, -1, _P) % _P
_BASE = _Point(_BASE_X, _BASE_Y, 1, _BASE_X * _BASE_Y % _P)


def public_key(seed: bytes) -> bytes:
    """The public key (32 bytes) for a seed (32 bytes)."""
    scalar, _ = _expand(seed)
    return _encode(_times(scalar, _BASE))


def sign(seed: bytes, message: bytes) -> bytes:
    """A signature of 64 bytes."""
    scalar, prefix = _expand(seed)
    nonce = _number(prefix + message)
    point = _encode(_times(nonce, _BASE))
    challenge = _number(point + _encode(_times(scalar, _BASE)) + message)
    return point + ((nonce + challenge * scalar) % _ORDER).to_bytes(32, "little")


def _expand(seed: bytes) -> tuple[int, bytes]:
    if len(seed) != 32:
        raise ValueError(f"a seed has 32 bytes, not {len(seed)}")
    hashed = sha512(seed).digest()
    scalar = int.from_bytes(hashed[:32], "little")
    return scalar & ((1 << 254) - 8) | 1 << 254, hashed[32:]


def _number(data: bytes) -> int:
    return int.from_bytes(sha512(data).digest(), "little") % _ORDER


def _add(left: _Point, right: _Point) -> _Point:
    a = (left.y - left.x) * (right.y - right.x) % _P
    b = (left.y + left.x) * (right.y + right.x) % _P
    c = 2 * left.t * right.t * _D % _P
    d = 2 * left.z * right.z % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return _Point(e * f % _P, g * h % _P, f * g % _P, e * h % _P)


def _times(scalar: int, point: _Point) -> _Point:
    total = _NEUTRAL
    while scalar:
        if scalar & 1:
            total = _add(total, point)
        point = _add(point, point)
        scalar >>= 1
    return total


def _encode(point: _Point) -> bytes:
    inverse = pow(point.z, -1, _P)
    x, y = point.x * inverse % _P, point.y * inverse % _P
    return (y | (x & 1) << 255).to_bytes(32, "little")

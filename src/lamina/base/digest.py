"""Content digests (OCI image spec, `descriptor.md#digests`)."""

from __future__ import annotations

from lamina.base.errors import InvalidInput

_HEX = frozenset("0123456789abcdef")
_HEX_LENGTH = {"sha256": 64, "sha384": 96, "sha512": 128}


class Digest(str):
    """`algorithm:hex`, e.g. `sha256:6cc5…`. A plain string everywhere else."""

    __slots__ = ()

    @property
    def algorithm(self) -> str:
        return self.partition(":")[0]

    @property
    def hex(self) -> str:
        return self.partition(":")[2]

    @property
    def short(self) -> str:
        """The first twelve hex digits, for display."""
        return self.hex[:12]


def parse_digest(text: str) -> Digest:
    """Check `text` and return it as a digest. Raises InvalidInput."""
    algorithm, colon, digits = text.partition(":")
    length = _HEX_LENGTH.get(algorithm)
    if not colon or length is None:
        raise InvalidInput(f'"{text}" is not a digest', hint="a digest looks like sha256:<64 hex>")
    if len(digits) != length or not _HEX.issuperset(digits):
        raise InvalidInput(f'"{text}" is not a valid {algorithm} digest')
    return Digest(text)


def digest_of(data: bytes) -> Digest:
    """SHA-256 of bytes that are already in memory."""
    import hashlib  # it loads OpenSSL, which not every command needs

    return Digest("sha256:" + hashlib.sha256(data).hexdigest())

"""Cache keys: what a vertex's result is remembered by.

A key is the op's own digest over its inputs' keys (definition-based), or over digests of what
the op reads from them (content-based). It keeps its structure, not only a hash, so that caches
can be exported as chains.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

from lamina.base.digest import Digest

if TYPE_CHECKING:
    from collections.abc import Sequence


class KeyInput(NamedTuple):
    """One input's part in a key: which key, which of its outputs, and how it is used."""

    key: Digest
    output: int
    selector: str = ""


class CacheKey(NamedTuple):
    """`id` is the SHA-256 of digest and inputs as canonical text, and of what is not exported.

    An `ephemeral` key holds for this build alone (it names a directory, not what is in it), so
    nothing is stored or looked up under it.
    """

    id: Digest
    digest: Digest
    inputs: tuple[KeyInput, ...] = ()
    ephemeral: bool = False


CONTENT_OUTPUT = -1
"""The output of a content digest, which is no vertex's: as in BuildKit's cache chains."""


def make_key(
    digest: Digest,
    inputs: Sequence[KeyInput] = (),
    *,
    ephemeral: bool = False,
    unexported: str = "",
) -> CacheKey:
    """Build a key from an op's digest and its inputs' parts, in order.

    `unexported` is a part of the id alone: see `lamina.solver.contract.CacheMap`.
    """
    text = "\n".join([digest, *(f"{i.output} {i.key} {i.selector}" for i in inputs)])
    if unexported:
        text = f"{text}\n\n{unexported}"
    key_id = Digest("sha256:" + sha256(text.encode("utf-8", "surrogateescape")).hexdigest())
    return CacheKey(key_id, digest, tuple(inputs), ephemeral)


def content_input(content: CacheKey, selector: str = "") -> KeyInput:
    """An input known by what is read of it, wherever that came from.

    `content` is the key made of the digest of that, and of nothing else.
    """
    return KeyInput(content.id, CONTENT_OUTPUT, selector)


def record_digest(digest: Digest, output: int) -> Digest:
    """What a key's record is called in caches that travel: BuildKit's root key of an output."""
    return Digest("sha256:" + sha256(f"{digest}@{output}".encode()).hexdigest())

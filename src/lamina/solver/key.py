"""Cache keys: what the result of a vertex is stored under.

A key is made of the op's own digest and its inputs' keys (definition-based), or digests of the
content that the op reads of them (content-based). It keeps its structure, which cache export
needs, and not only a hash.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

from lamina.base.digest import Digest
from lamina.base.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence


class KeyInput(NamedTuple):
    """The part of a key that is an input: its key, the output, and how the op uses it."""

    key: Digest
    output: int
    selector: str = ""


class CacheKey(NamedTuple):
    """A key. `id` is the SHA-256 of its digest, inputs and unexported part as canonical text.

    An `ephemeral` key is only valid in this build (it names a directory, not its content), so
    nothing is stored or looked up under it.
    """

    id: Digest
    digest: Digest
    inputs: tuple[KeyInput, ...] = ()
    ephemeral: bool = False


CONTENT_OUTPUT = -1
"""The output of a content digest, which is not a vertex: as in BuildKit's cache chains."""


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
    """The part of a content-based key. `content` is the key made of the content digest alone."""
    return KeyInput(content.id, CONTENT_OUTPUT, selector)


def record_digest(digest: Digest, output: int) -> Digest:
    """The digest of a key's record in exported caches: BuildKit's root key of an output."""
    return Digest("sha256:" + sha256(f"{digest}@{output}".encode()).hexdigest())

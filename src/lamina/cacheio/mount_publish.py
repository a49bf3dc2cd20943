"""Updates a mount's name in a backend, when several writers do so concurrently.

Registries have no compare-and-swap, so a writer cannot know whether it overwrites another one's
work. So each writer first writes a *claim*, under one of a few names beside the mount's own. Only
then it reads the existing indexes, merges them with its own, and writes the mount's name:

    <mount>        the index, with the digests of the claims that it includes (an annotation)
    <mount>.0 … 3  claims: indexes of single writers

A reader merges the index with the claims that it does not include. Of two writers, the one with the
later claim finds the other's work: its claim, or if both use the same claim name, the index that
the other one writes, or writes again when it checks the result a moment later. This holds for any
delay in between. Work can only be lost with three writers, two of them delayed at the wrong moments
and with the same claim name. An old claim that the index includes may be overwritten.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from lamina.base import oci
from lamina.base.errors import Corrupt, NotFound, Unavailable
from lamina.base.named_tuple import NamedTuple
from lamina.cacheio.cache_loader import read_blob
from lamina.cacheio.mount_index import (
    CLAIMS_IN_IT,
    INDEX_TYPE,
    decode_index,
    encode_index,
    make_manifest,
    part_of,
)
from lamina.cacheio.mount_pack import make_index
from lamina.cacheio.mount_scan import described
from lamina.system.threads import in_parallel

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Sequence

    from lamina.base.digest import Digest
    from lamina.base.oci import Descriptor
    from lamina.base.reference import Reference
    from lamina.cacheio.backend import Backend
    from lamina.cacheio.contract import Shown
    from lamina.cacheio.mount_index import MountIndex
    from lamina.stores.blobs import BlobStore
    from lamina.system.cancel import Cancellation

CLAIMS = 4
_MOST_ENTRIES = 1 << 20
"""Of a mount and all its claims together, including those of other machines."""
_ROUNDS = 24
_PAUSE = 0.25


class Published(NamedTuple):
    """A mount in a backend, with all claims merged.

    `claims` are the digests of the claims that exist, by number; `loose` says whether the index
    does not include one of them.
    """

    mount: MountIndex
    claims: dict[int, Digest]
    loose: bool


def load_mount(backend: Backend, name: str, cancel: Cancellation) -> Published | None:
    """Read a mount; None if the backend has none. An unreadable claim is ignored.

    Raises PermissionDenied, Unavailable, Corrupt, Cancelled.
    """
    part = part_of(name)
    found: dict[int, tuple[Digest, bytes]] = {}

    def look(number: int, cancel: Cancellation) -> None:
        try:
            found[number] = backend.manifest(f"{part}.{number}" if number >= 0 else part, cancel)
        except NotFound:
            return

    in_parallel(range(-1, CLAIMS), look, CLAIMS + 1, cancel)
    named = found.pop(-1, None)
    index: MountIndex | None = None
    absorbed: frozenset[str] = frozenset()
    if named is not None:
        index, absorbed = _read(backend, name, named[1], cancel)
    loose = False
    for number in sorted(found):
        digest, data = found[number]
        if digest in absorbed:
            continue
        try:
            claim, _ = _read(backend, name, data, cancel)
        except Corrupt:
            continue
        if index is not None and len(index.entries) + len(claim.entries) > _MOST_ENTRIES:
            continue
        loose = True
        index = claim if index is None else join(index, claim, ())
    if index is None:
        return None
    return Published(index, {number: digest for number, (digest, _) in found.items()}, loose)


def _read(
    backend: Backend, name: str, data: bytes, cancel: Cancellation
) -> tuple[MountIndex, frozenset[str]]:
    manifest = oci.parse_manifest(data)
    if not isinstance(manifest, oci.Manifest) or manifest.config.media_type != INDEX_TYPE:
        raise Corrupt(f"{backend.label} has no valid cache mount {name}")
    index = decode_index(read_blob(backend, manifest.config, cancel), name, manifest.layers)
    return index, frozenset(dict(manifest.annotations).get(CLAIMS_IN_IT, "").split())


class Publication:
    """The update of a mount's name by one export.

    Args:
        made: the export; `base` the mount in the backend before it, None for none.
        gone: paths that were removed from the mount, if only other machines' copies have them.
    """

    def __init__(
        self,
        made: MountIndex,
        base: MountIndex | None,
        gone: Container[str],
        backend: Backend,
        blobs: BlobStore,
        shown: Shown,
    ) -> None:
        self._made = made
        self._gone = gone
        self._backend = backend
        self._blobs = blobs
        self._shown = shown
        self._part = part_of(made.name)
        self._there = set(base.packs) if base else set()

    def run(self, cancel: Cancellation) -> None:
        """Write the index, and check that it stays.

        Raises NotFound, PermissionDenied, Unavailable, Corrupt, Cancelled.
        """
        whole = self._made
        for round_ in range(_ROUNDS):
            number = claim_number()
            claim = self._put(f"{self._part}.{number}", whole, (), cancel)
            seen = load_mount(self._backend, self._made.name, cancel)
            if seen is not None:
                self._there.update(seen.mount.packs)
                whole = join(whole, seen.mount, self._gone)
            absorbed = {claim, *(seen.claims.values() if seen else ())}
            self._put(self._part, whole, absorbed, cancel)
            # At different times: the last writer then finds the others' work done.
            if cancel.wait(_PAUSE * (1 + os.urandom(1)[0] / 256 * min(round_, 8))):
                cancel.check()
            seen = load_mount(self._backend, self._made.name, cancel)
            if (
                seen is not None
                and seen.claims.get(number) == claim
                and _holds(seen.mount, self._made)
            ):
                return
            if seen is not None:
                self._there.update(seen.mount.packs)
                whole = join(whole, seen.mount, self._gone)
        raise Unavailable(
            f"too many exports of the cache mount {self._made.name} at the same time",
            hint="try again",
        )

    def _put(
        self, part: str, index: MountIndex, claims: Iterable[Digest], cancel: Cancellation
    ) -> Digest:
        """Point a name to an index. Returns the digest of its manifest."""
        config, blob = encode_index(index)
        target, data = make_manifest(index, config, claims)
        content = _PackContent(self._blobs, {target.digest: data, config.digest: blob})
        # The packs of an existing manifest exist: there is no need to check each.
        new = [pack for pack in index.packs if pack not in self._there]
        progress = self._shown.meter("writing pack")
        self._backend.stage(part, [*new, config], content, cancel, progress)
        self._backend.name(part, target, content, cancel)
        self._there.update(new)
        return target.digest


def claim_number() -> int:
    """The number of the claim to use: a random one."""
    return os.urandom(1)[0] % CLAIMS


def _holds(there: MountIndex, made: MountIndex) -> bool:
    return {entry.path for entry in made.entries} <= {entry.path for entry in there.entries}


def join(ours: MountIndex, theirs: MountIndex, gone: Container[str]) -> MountIndex:
    """Merge both, without entries that only they have and that are `gone`. For equal names, ours
    counts."""
    known = {entry.path for entry in ours.entries}
    added = [e for e in theirs.entries if e.path not in known and e.path not in gone]
    if not added:
        return ours
    packs = list(ours.packs)
    positions = {chunk.digest: (chunk.pack, chunk.offset, chunk.size) for chunk in ours.chunks}
    numbers = {pack: number for number, pack in enumerate(packs)}
    for entry in added:
        for part in entry.chunks:
            chunk = theirs.chunks[part]
            if chunk.digest not in positions:
                pack = theirs.packs[chunk.pack]
                if pack not in numbers:
                    numbers[pack] = len(packs)
                    packs.append(pack)
                positions[chunk.digest] = (numbers[pack], chunk.offset, chunk.size)
    scanned = [described(entry, ours) for entry in ours.entries]
    scanned += [described(entry, theirs) for entry in added]
    return make_index(ours.name, scanned, positions, packs)


class _PackContent:
    """Packs of this store and of the backend, and new documents."""

    def __init__(self, blobs: BlobStore, made: dict[Digest, bytes]) -> None:
        self._blobs = blobs
        self._made = made

    def document(self, descriptor: Descriptor, cancel: Cancellation) -> bytes:
        return self._made[descriptor.digest]

    def chunks(
        self, descriptor: Descriptor, cancel: Cancellation, offset: int = 0
    ) -> Iterator[bytes]:
        made = self._made.get(descriptor.digest)
        yield (self._blobs.read(descriptor.digest) if made is None else made)[offset:]

    def repositories(self, descriptor: Descriptor) -> Sequence[Reference]:
        return ()

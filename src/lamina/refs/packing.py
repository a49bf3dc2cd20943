"""Makes layers from plans, files and other layers."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from lamina.base.digest import Digest
from lamina.base.errors import from_os_error
from lamina.base.oci import Descriptor
from lamina.layers.decompression import decompressed
from lamina.layers.diff import FileContent, changed_members, upper_members
from lamina.layers.entry import Entry, whiteout
from lamina.layers.pack import pack
from lamina.refs.filehash import GONE, OPEN_FLAGS, header_hash
from lamina.refs.reading import SourceChanged
from lamina.stores.layers import Layer, dated_recipe

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from hashlib import _Hash

    from lamina.layers.compression import Compression
    from lamina.layers.pack import Member
    from lamina.refs.plan import FilePlan, PlannedFile
    from lamina.stores.blobs import BlobStore
    from lamina.system.cancel import Cancellation
    from lamina.system.file_metadata import FileMetadata


def pack_plan(
    plan: FilePlan, blobs: BlobStore, compression: Compression, cancel: Cancellation
) -> Layer:
    """Pack a plan from its sources. Raises SourceChanged if one of them has changed."""
    return _pack(plan_members(plan), blobs, compression, cancel)


def pack_upper(
    upper: str,
    lowers: Sequence[str],
    blobs: BlobStore,
    compression: Compression,
    cancel: Cancellation,
    metadata: FileMetadata,
) -> Layer:
    """Pack an overlay directory on top of `lowers`, lowest first."""
    return _pack(upper_members(upper, lowers, metadata), blobs, compression, cancel)


def pack_change(
    lower: str,
    upper: str,
    blobs: BlobStore,
    compression: Compression,
    cancel: Cancellation,
    metadata: FileMetadata,
) -> Layer:
    """Pack the difference between two trees."""
    return _pack(changed_members(lower, upper, metadata), blobs, compression, cancel)


def repack(layer: Layer, blobs: BlobStore, compression: Compression, cancel: Cancellation) -> Layer:
    """Compress the tar of a layer anew."""
    from hashlib import sha256

    from lamina.layers.compression import make_compressor

    compressor = make_compressor(compression)
    digest = sha256()
    size = 0
    with blobs.open(layer.descriptor.digest) as file, blobs.create() as draft:
        stream = decompressed(file)
        while True:
            cancel.check()
            plain = stream.read(1 << 20)
            data = compressor.compress(plain) if plain else compressor.flush()
            digest.update(data)
            size += len(data)
            draft.write(data)
            if not plain:
                break
        name = Digest("sha256:" + digest.hexdigest())
        draft.commit(name, size)
    descriptor = Descriptor(compression.media_type(), name, size)
    return Layer(descriptor, layer.diff_id, compression.recipe)


def redate(
    layer: Layer, blobs: BlobStore, compression: Compression, epoch: int, cancel: Cancellation
) -> Layer:
    """Clamp the times of a layer to `epoch` (seconds since 1970)."""
    from lamina.layers.pack import pack_changed
    from lamina.layers.reader import TarReader

    latest = epoch * 1_000_000_000

    def clamp(entry: Entry) -> Entry:
        return entry._replace(mtime_ns=min(entry.mtime_ns, latest))

    with blobs.open(layer.descriptor.digest) as file, blobs.create() as draft:
        reader = TarReader(decompressed(file))
        packed = pack_changed(reader, clamp, draft, compression, cancel)
        draft.commit(packed.digest, packed.size)
    descriptor = Descriptor(compression.media_type(), packed.digest, packed.size)
    return Layer(descriptor, packed.diff_id, dated_recipe(compression.recipe, epoch))


def plan_members(plan: FilePlan) -> Iterator[Member]:
    """The members of a layer of a plan, with whiteouts, in the order of paths."""
    entries = dict(plan.in_order())
    paths = {*entries, *plan.hidden()}
    for path in sorted(paths, key=lambda item: item.split("/")):
        planned = entries.get(path)
        if planned is None:
            yield whiteout(path), None
            continue
        if stat.S_ISSOCK(planned.mode):
            continue
        yield _member(path, planned)


def _pack(
    members: Iterator[Member], blobs: BlobStore, compression: Compression, cancel: Cancellation
) -> Layer:
    try:
        with blobs.create() as draft:
            packed = pack(members, draft, compression, cancel)
            draft.commit(packed.digest, packed.size)
    except OSError as error:
        raise from_os_error(error, "pack a layer") from error
    descriptor = Descriptor(compression.media_type(), packed.digest, packed.size)
    return Layer(descriptor, packed.diff_id, compression.recipe)


def _member(path: str, planned: PlannedFile) -> Member:
    entry = Entry(
        path,
        planned.mode,
        planned.uid,
        planned.gid,
        planned.mtime_ns,
        xattrs=planned.xattrs,
        link=planned.link,
        hard_link=planned.hard_link,
    )
    if stat.S_ISREG(planned.mode) and not planned.hard_link:
        entry = entry._replace(size=planned.size)
        if planned.data is not None:
            return entry, planned.data
        if planned.digest:
            return entry, LiveContent(planned)
        return entry, FileContent(planned.source)
    if stat.S_ISCHR(planned.mode) or stat.S_ISBLK(planned.mode):
        return (
            entry._replace(rdev_major=os.major(planned.rdev), rdev_minor=os.minor(planned.rdev)),
            None,
        )
    return entry, None


class LiveContent:
    """A file of a client's directory. Raises SourceChanged if what is read does not have the
    planned digest."""

    __slots__ = ("_planned",)

    def __init__(self, planned: PlannedFile) -> None:
        self._planned = planned

    def open(self) -> int:
        try:
            fd = os.open(self._planned.source, OPEN_FLAGS)
        except OSError as error:
            if error.errno in GONE:
                raise SourceChanged(self._planned.source) from error
            raise
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise SourceChanged(self._planned.source)
        return fd

    def begin(self, status: os.stat_result) -> _Hash:
        return header_hash(status, link="", xattrs=self._planned.xattrs, owner=(0, 0))

    def check(self, hashed: _Hash | None) -> None:
        if hashed is None or f"sha256:{hashed.hexdigest()}" != self._planned.digest:
            raise SourceChanged(self._planned.source)


def holds_planned(planned: PlannedFile, copy: str, status: os.stat_result) -> bool:
    """Whether the copy of a file of a client's directory has the planned digest. `status` is that
    of the file."""
    hashed = header_hash(status, link="", xattrs=planned.xattrs, owner=(0, 0))
    with open(copy, "rb", buffering=0) as file:
        while chunk := file.read(1 << 20):
            hashed.update(chunk)
    return f"sha256:{hashed.hexdigest()}" == planned.digest

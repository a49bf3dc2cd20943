"""ADD with archives: unpacks them instead of copying."""

from __future__ import annotations

import io
import os
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO, cast

from lamina.base.errors import InvalidInput, LaminaError, from_os_error
from lamina.layers.apply import Whiteouts, apply_layer
from lamina.layers.archives import is_tar, plain
from lamina.ops.copy import Copier
from lamina.refs.filehash import GONE, header_hash
from lamina.refs.live_tree import LiveTree
from lamina.refs.reading import SourceChanged
from lamina.refs.selection import expand_wildcard
from lamina.refs.tree import Tree
from lamina.system.regular import open_regular

if TYPE_CHECKING:
    from collections.abc import Iterator
    from hashlib import _Hash

    from lamina.llb.op import CopyAction
    from lamina.ops.copy import Owner
    from lamina.ops.modes import ModeChange
    from lamina.refs.manager import RefManager
    from lamina.refs.plan import FilePlan
    from lamina.refs.reading import Reading
    from lamina.solver.contract import OpContext


def unpack_archives(
    refs: RefManager,
    source: Tree,
    plan: FilePlan,
    action: CopyAction,
    owner: Owner | None,
    change: ModeChange | None,
    context: OpContext,
) -> bool:
    """Unpack the sources that are tar archives (plain, gzip, bzip2, xz, zstd) into the plan.

    Other sources of the action are copied, in order. Returns False if there is no archive, and
    then does nothing.
    """
    pattern = action.src.strip("/")
    matches = expand_wildcard(source, pattern) if action.allow_wildcard else [(pattern, pattern)]
    if not any(_archive(source, real) is not None for _, real in matches):
        return False
    for shown, real in matches:
        path = _archive(source, real)
        if isinstance(source, LiveTree) and not source.unchanged(source.resolve(real)):
            # It may have become an archive, or not be one any more.
            plan.reading.differs(source.real(real))
        if path is not None:
            _unpack(source, path, shown, refs, plan, action, owner, context)
            continue
        one = action._replace(src=f"/{shown}", allow_wildcard=False)
        Copier(source, plan, one, owner=owner, change=change, cancel=context.cancel).run()
    return True


def _archive(source: Tree, real: str) -> str | None:
    """The path of an archive after following links; None if it is not an archive."""
    resolved = source.resolve(real)
    status = source.lstat(resolved)
    if status is None or not stat.S_ISREG(status.st_mode):
        return None
    return resolved if is_tar(source.real(resolved)) else None


def _unpack(
    source: Tree,
    path: str,
    shown: str,
    refs: RefManager,
    plan: FilePlan,
    action: CopyAction,
    owner: Owner | None,
    context: OpContext,
) -> None:
    staged = refs.snapshots.stage()
    try:
        with _open(source, path, plan.reading) as file:
            applied = apply_layer(
                plain(file),
                staged.files,
                Whiteouts.REMOVE,
                context.cancel,
                subject=f"archive /{shown}",
                metadata=refs.metadata,
            )
    except BaseException as error:
        refs.discard(staged)
        if isinstance(error, OSError):
            raise from_os_error(error, "read the archive") from error
        raise
    inner = action._replace(
        src="/",
        allow_wildcard=False,
        dir_copy_contents=True,
        attempt_unpack=False,
        # Patterns apply to the files of the source, not to the content of an archive.
        include_patterns=(),
        exclude_patterns=(),
        always_replace=True,  # unlike a copy, an archive replaces files by directories
        dest=action.dest.rstrip("/") + "/",
    )
    Copier(
        Tree(staged.files, metadata=refs.metadata),
        plan,
        inner,
        owner=owner,
        change=None,
        cancel=context.cancel,
        implied=frozenset(applied.implied),
    ).run()


@contextmanager
def _open(source: Tree, path: str, reading: Reading) -> Iterator[BinaryIO]:
    """Open an archive. Raises SourceChanged if it is in a client's directory and was not read as it
    was digested, unless `reading` tolerates that."""
    real = source.real(path)
    status = source.lstat(path)
    if not source.live or status is None:
        with open(open_regular(real), "rb") as file:
            yield file
        return
    try:
        raw = io.FileIO(open_regular(real), "rb")
    except InvalidInput as error:
        raise SourceChanged(real) from error
    except OSError as error:
        if error.errno in GONE:
            raise SourceChanged(real) from error
        raise
    with raw:
        owner = source.owner_of(status)
        hashed = header_hash(status, link="", xattrs=source.xattrs(path, status), owner=owner)
        with io.BufferedReader(_Hashing(raw, hashed), 1 << 18) as file:
            try:
                yield cast("BinaryIO", file)
            except LaminaError as error:
                if isinstance(source, LiveTree) and not source.unchanged(path):
                    raise SourceChanged(real) from error
                raise
            while file.read(1 << 20):
                continue
        if f"sha256:{hashed.hexdigest()}" != source.entry_digest(path, status):
            reading.differs(real)


class _Hashing(io.RawIOBase):
    """Reads a file and hashes each byte once. The reader may seek back within the buffer on top."""

    def __init__(self, file: io.FileIO, hashed: _Hash) -> None:
        self._file = file
        self._hashed = hashed
        self._hashed_to = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    # RawIOBase takes any writable buffer; only these two are passed here.
    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        start = self._file.tell()
        count = self._file.readinto(buffer)
        new = start + count - self._hashed_to
        if new > 0:
            self._hashed.update(memoryview(buffer)[count - new : count])
            self._hashed_to = start + count
        return count

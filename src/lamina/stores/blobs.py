"""Blobs: immutable bytes by digest, laid out as in an OCI layout (`image-layout.md#blobs`).

    <root>/blobs/sha256/<hex>            complete blobs, mode 0644
    <root>/tmp/ingest/sha256-<hex>       a partial download; a later attempt resumes it
    <root>/tmp/ingest/new-<pid>-<rand>   a blob that is being made; its digest is not known yet

The writer of a file in tmp/ingest locks it (flock), so several processes can share a store; an
unlocked file was left by a dead process. A complete blob appears by a rename.
"""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING, BinaryIO

from lamina.base.digest import Digest, digest_of, parse_digest
from lamina.base.errors import Corrupt, InvalidInput, NotFound, from_os_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

    from lamina.base.oci import Descriptor
    from lamina.system.cancel import Cancellation

_READ_LIMIT = 8 << 20
_CHUNK = 1 << 20
_POLL = 0.05


class BlobStore:
    """The blobs below `root`. Threads and processes can share it.

    Args:
        root: the directory of the store; created by the first write.
        durable: sync each blob before it appears, so that it survives a power cut. Else it only
            survives the death of the process, and the caller has to sync.
    """

    def __init__(self, root: str, *, durable: bool = False) -> None:
        self._root = root
        self._durable = durable
        self._ingest = os.path.join(root, "tmp", "ingest")
        self._made = False

    def path(self, digest: Digest) -> str:
        """The path of the blob, whether it exists or not."""
        return os.path.join(self._root, "blobs", digest.algorithm, digest.hex)

    def has(self, digest: Digest) -> bool:
        return os.path.exists(self.path(digest))

    def size(self, digest: Digest) -> int:
        """In bytes. Raises NotFound."""
        try:
            return os.stat(self.path(digest)).st_size
        except FileNotFoundError:
            raise _missing(digest) from None

    def open(self, digest: Digest) -> BinaryIO:
        """Open a blob. Its digest is not checked; see `read`. Raises NotFound."""
        try:
            return open(self.path(digest), "rb")
        except FileNotFoundError:
            raise _missing(digest) from None
        except OSError as error:
            raise from_os_error(error, "open blob") from error

    def read(self, digest: Digest, limit: int = _READ_LIMIT) -> bytes:
        """The bytes of a small blob, with the digest checked. Raises NotFound, and Corrupt (also if
        it is larger than `limit`)."""
        with self.open(digest) as file:
            data = file.read(limit + 1)
        if len(data) > limit:
            raise Corrupt(f"blob {digest} is larger than {limit} bytes")
        import hashlib

        if hashlib.new(digest.algorithm, data).hexdigest() != digest.hex:
            raise Corrupt(
                f"blob {digest} in the store does not match its digest",
                hint="remove it with `lamina prune --all`, then build again",
            )
        return data

    def put(self, data: bytes) -> Digest:
        """Store bytes. Returns their digest."""
        digest = digest_of(data)
        if not self.has(digest):
            with self.create() as draft:
                draft.write(data)
                draft.commit(digest, len(data))
        return digest

    def ingest(self, descriptor: Descriptor, cancel: Cancellation | None = None) -> BlobWriter:
        """Start or resume receiving a blob. Waits while another writer has it.

        If the blob is complete by then, the writer has `offset == size` and its `commit` does
        nothing. Raises Cancelled.
        """
        self._prepare()
        return BlobWriter(self, descriptor, cancel)

    def receive(
        self,
        descriptor: Descriptor,
        bring: Callable[[BlobWriter], None],
        cancel: Cancellation | None = None,
    ) -> None:
        """Receive a blob with `bring`, which writes from the writer's offset on, and check it.

        If a resumed blob turns out to be corrupt it is received once more from the start. Raises
        Corrupt, Cancelled, and what `bring` raises.
        """
        with self.ingest(descriptor, cancel) as writer:
            try:
                bring(writer)
                writer.commit()
                return
            except Corrupt:
                if not writer.resumed:
                    raise
        with self.ingest(descriptor, cancel) as writer:
            bring(writer)
            writer.commit()

    def create(self) -> BlobDraft:
        """Start a blob whose digest is known at its end."""
        self._prepare()
        return BlobDraft(self)

    def adopt(self, path: str, digest: Digest) -> None:
        """Move a file into the store that lamina made and hashed on the same file system."""
        self._prepare()
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._appear(fd, path, digest)
        finally:
            os.close(fd)

    def remove(self, digest: Digest) -> None:
        """Remove a blob if it exists."""
        try:
            os.unlink(self.path(digest))
        except FileNotFoundError:
            return

    def digests(self) -> Iterator[Digest]:
        """All complete blobs, in no order. Other files beside them are ignored."""
        base = os.path.join(self._root, "blobs")
        for algorithm in _names(base):
            for name in _names(os.path.join(base, algorithm)):
                with suppress(InvalidInput):
                    yield parse_digest(f"{algorithm}:{name}")

    def remove_since(self, moment: float) -> int:
        """Remove the blobs that appeared at or after `moment` (seconds since the epoch).

        For the time after a power cut: a blob since the last sync can have its name but not its
        bytes. Returns their number.
        """
        removed = 0
        for digest in self.digests():
            try:
                appeared = os.stat(self.path(digest)).st_ctime
            except FileNotFoundError:
                continue
            if appeared >= moment:
                self.remove(digest)
                removed += 1
        return removed

    def sweep(self, partial_age: float = 86400.0) -> int:
        """Remove the drafts of dead processes, and partial blobs that are older than `partial_age`
        seconds. Returns the number of bytes freed."""
        freed = 0
        now = time.time()
        for name in _names(self._ingest):
            path = os.path.join(self._ingest, name)
            try:
                fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                info = os.fstat(fd)
                if info.st_nlink and (
                    name.startswith("new-") or now - info.st_mtime >= partial_age
                ):
                    os.unlink(path)
                    freed += info.st_blocks * 512
            except BlockingIOError:
                continue
            finally:
                os.close(fd)
        return freed

    def _prepare(self) -> None:
        if self._made:
            return
        try:
            os.makedirs(self._ingest, mode=0o711, exist_ok=True)
            os.makedirs(os.path.join(self._root, "blobs", "sha256"), mode=0o711, exist_ok=True)
        except OSError as error:
            raise from_os_error(error, "create the blob store") from error
        self._made = True
        self.sweep(partial_age=7 * 86400.0)

    def _appear(self, fd: int, path: str, digest: Digest) -> None:
        """Rename the file at `path`, open as `fd`, to its path in blobs/."""
        target = self.path(digest)
        try:
            os.fchmod(fd, 0o644)
            if self._durable:
                os.fdatasync(fd)
            try:
                os.rename(path, target)
            except FileNotFoundError:
                os.makedirs(os.path.dirname(target), mode=0o711, exist_ok=True)
                os.rename(path, target)
            if self._durable:
                folder = os.open(os.path.dirname(target), os.O_RDONLY | os.O_DIRECTORY)
                try:
                    os.fsync(folder)
                finally:
                    os.close(folder)
        except OSError as error:
            raise from_os_error(error, "keep blob") from error


class _Writer:
    """A locked file in tmp/ingest, open for appending."""

    def __init__(self, path: str, fd: int) -> None:
        self.path = path
        self._fd = fd
        self._open = True
        self.offset = 0

    def fileno(self) -> int:
        return self._fd

    def _write_all(self, data: bytes | memoryview) -> None:
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._fd, view) :]
        except OSError as error:
            # Partial blobs must not keep a full disk full.
            self._discard()
            raise from_os_error(error, "write blob") from error

    def _discard(self) -> None:
        if self._open:
            if os.fstat(self._fd).st_nlink:
                os.unlink(self.path)
            self.close()

    def close(self) -> None:
        """Close the file, which releases its lock."""
        if self._open:
            self._open = False
            os.close(self._fd)


class BlobWriter(_Writer):
    """Receives a blob of known digest. A context manager: without a commit the partial blob is
    kept, and the next `ingest` resumes it.

    `offset` is the number of bytes so far; `resumed` is whether it was positive at the start.
    """

    def __init__(
        self, store: BlobStore, descriptor: Descriptor, cancel: Cancellation | None
    ) -> None:
        self._store = store
        self._digest = descriptor.digest
        self._size = descriptor.size
        import hashlib

        self._hash = hashlib.new(descriptor.digest.algorithm)
        path = os.path.join(store._ingest, f"{descriptor.digest.algorithm}-{descriptor.digest.hex}")
        super().__init__(path, _open_locked(path, cancel))
        self._done = store.has(self._digest)
        if self._done:
            self._discard()
            self.offset = self._size
        else:
            self._rehash(cancel)
        self.resumed = self.offset > 0

    def _rehash(self, cancel: Cancellation | None) -> None:
        if os.fstat(self._fd).st_size > self._size:
            os.ftruncate(self._fd, 0)
        while chunk := os.read(self._fd, _CHUNK):
            if cancel is not None and cancel.cancelled:
                self.close()
                cancel.check()
            self._hash.update(chunk)
            self.offset += len(chunk)

    def write(self, chunk: bytes | memoryview) -> None:
        """Append. Raises Corrupt if there is more than the descriptor's size."""
        if self.offset + len(chunk) > self._size:
            self._discard()
            raise Corrupt(f"blob {self._digest} is larger than the {self._size} bytes it should be")
        self._write_all(chunk)
        self._hash.update(chunk)
        self.offset += len(chunk)

    def commit(self) -> Digest:
        """Check size and digest, and move the blob into the store.

        Raises Corrupt; then the partial file is removed, unless it is only too short."""
        if self._done:
            return self._digest
        if self.offset < self._size:
            raise Corrupt(
                f"blob {self._digest} is truncated: {self.offset} of {self._size} bytes arrived"
            )
        if self._hash.hexdigest() != self._digest.hex:
            got = f"{self._digest.algorithm}:{self._hash.hexdigest()}"
            self._discard()
            raise Corrupt(f"blob {self._digest} does not match its digest: the bytes have {got}")
        self._store._appear(self._fd, self.path, self._digest)
        self._done = True
        self.close()
        return self._digest

    def __enter__(self) -> BlobWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._done and not self.offset:
            self._discard()
        self.close()


class BlobDraft(_Writer):
    """A blob of unknown digest. Write with `write`, `fileno()` or `path`. Leaving the context
    without a commit removes it."""

    def __init__(self, store: BlobStore) -> None:
        self._store = store
        while True:
            name = f"new-{os.getpid()}-{os.urandom(6).hex()}"
            path = os.path.join(store._ingest, name)
            try:
                fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            except OSError as error:
                raise from_os_error(error, "create blob") from error
            fcntl.flock(fd, fcntl.LOCK_EX)
            if os.fstat(fd).st_nlink:
                break
            os.close(fd)  # it was swept between the two calls
        super().__init__(path, fd)

    def write(self, chunk: bytes | memoryview) -> None:
        self._write_all(chunk)
        self.offset += len(chunk)

    def commit(self, digest: Digest, size: int) -> None:
        """Move the file into the store under the digest that the caller computed.

        Raises Corrupt if the file does not have `size` bytes.
        """
        found = os.fstat(self._fd).st_size
        if found != size:
            self._discard()
            raise Corrupt(f"blob {digest} has {found} bytes, not {size}")
        self._store._appear(self._fd, self.path, digest)
        self.close()

    def __enter__(self) -> BlobDraft:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._discard()


def _open_locked(path: str, cancel: Cancellation | None) -> int:
    """Open and lock `path`, even if its last writer renames or removes it meanwhile."""
    while True:
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise from_os_error(error, "create blob") from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            named = os.stat(path)
            mine = os.fstat(fd)
            if (named.st_dev, named.st_ino) == (mine.st_dev, mine.st_ino):
                return fd
        except BlockingIOError:
            if cancel is None:
                time.sleep(_POLL)
            elif cancel.wait(_POLL):
                os.close(fd)
                cancel.check()
        except FileNotFoundError:
            pass
        os.close(fd)


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _missing(digest: Digest) -> NotFound:
    return NotFound(f"blob {digest} is not in the store")

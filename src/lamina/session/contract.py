"""The port through which the engine reaches what a client provides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from lamina.base.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from lamina.base.digest import Digest
    from lamina.system.cancel import Cancellation


UPLOAD_HOST = "buildkit-session"
"""The host of URLs that stand for streams of the client's."""


class FolderRequest(NamedTuple):
    """What of a folder is wanted: patterns and paths as in the `local.*` attributes of LLB.

    `shared_key` tells this use of a folder from others, so that a copy that fits it is kept;
    `differ` of `none` has everything sent each time, also what seems unchanged. `session` is
    whose folder it is, "" for the build's own. `listing`, if not None, are patterns of the only
    files that are wanted; with a list of all (`session.listing`).
    """

    include_patterns: tuple[str, ...] = ()
    exclude_patterns: tuple[str, ...] = ()
    follow_paths: tuple[str, ...] = ()
    shared_key: str = ""
    differ: str = ""
    session: str = ""
    listing: tuple[str, ...] | None = None


class ProvidedFolder(NamedTuple):
    """A directory of the client, readable as long as the session lasts.

    `filtered`: it has only the requested files. Otherwise it is the client's own directory, and
    its reader applies the patterns. `owner` is the owner of all files, None for the owners in the
    file system. `made_at` is the time of its files, in seconds since 1970, if a repository, a
    server or an archive has one.
    """

    path: str
    filtered: bool = False
    owner: tuple[int, int] | None = (0, 0)
    made_at: int | None = None


class ContentStore(Protocol):
    """Blobs by digest. Who reads them checks them."""

    def size(self, digest: Digest, cancel: Cancellation) -> int:
        """In bytes. Raises NotFound, Unavailable, Cancelled."""
        ...

    def read(
        self, digest: Digest, cancel: Cancellation, *, offset: int = 0, size: int = 0
    ) -> Iterator[bytes]:
        """Bytes from `offset` on, `size` of them or (0) all. Raises as `size` does."""
        ...

    def write(
        self, digest: Digest, size: int, pieces: Iterable[bytes], cancel: Cancellation
    ) -> bool:
        """Keep a blob; whether that was needed.

        Raises PermissionDenied, Exhausted, Unavailable, Corrupt, Cancelled.
        """
        ...


class Session(Protocol):
    """Lives as long as the build does. Methods are called from any thread."""

    @property
    def in_process(self) -> bool:
        """Whether the client is this process: its folders are then read in place."""
        ...

    @property
    def id(self) -> str:
        """What a definition calls it (`local.session`), "" in the client's own process."""
        ...

    def folder(
        self,
        name: str,
        wanted: FolderRequest,
        cancel: Cancellation,
        progress: Callable[[int], None] | None = None,
    ) -> ProvidedFolder:
        """The folder provided under a name (`context`, `dockerfile`, …).

        `progress` gets the number of bytes sent so far.

        Raises NotFound, Unavailable (the client has disconnected), Cancelled.
        """
        ...

    def secret(self, secret_id: str, cancel: Cancellation) -> bytes | None:
        """A secret's value, or None if the client has none of that id.

        Raises PermissionDenied if it has one that cannot be read, Cancelled.
        """
        ...

    def ssh_socket(self, agent_id: str, cancel: Cancellation) -> str | None:
        """The path of an SSH agent's socket, or None if the client provides none of that id.

        Raises NotFound, InvalidInput (the agent's keys), Unavailable, Cancelled.
        """
        ...

    def upload(self, host: str, path: str, cancel: Cancellation) -> Iterator[bytes]:
        """The stream that `http://<host><path>` stands for, if `host` is `UPLOAD_HOST`.

        Raises NotFound, Unavailable, Cancelled.
        """
        ...

    def content(self, store: str) -> ContentStore:
        """Blobs of a layout that is provided under a name."""
        ...

"""The port of sessions: what clients provide to the engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from lamina.base.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from lamina.base.digest import Digest
    from lamina.system.cancel import Cancellation


UPLOAD_HOST = "buildkit-session"
"""The host of URLs that identify streams of the client."""


class FolderRequest(NamedTuple):
    """A request for a client's directory: patterns and paths of LLB's `local.*` attributes.

    `shared_key` distinguishes uses of a directory, so that a matching copy is kept. `differ` of
    `none` requests all files each time, even unchanged ones. `session` is the directory's session,
    "" for the build's own. `listing`, if not None, are patterns of the only files whose content is
    requested; a list of all files (`session.listing`) is added.
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

    With `filtered` it contains only the requested files. Otherwise it is the client's own
    directory, and its reader applies the patterns. `owner` is the owner of all files, None for the
    owners in the file system. `made_at` is the time of its files, in seconds since 1970, if a
    repository, a server or an archive has one. Directories with the same `revision`, unless it is
    "", have the same files.
    """

    path: str
    filtered: bool = False
    owner: tuple[int, int] | None = (0, 0)
    made_at: int | None = None
    revision: str = ""


class ContentStore(Protocol):
    """Blobs by digest. The reader must verify them."""

    def size(self, digest: Digest, cancel: Cancellation) -> int:
        """The size of a blob in bytes. Raises NotFound, Unavailable, Cancelled."""
        ...

    def read(
        self, digest: Digest, cancel: Cancellation, *, offset: int = 0, size: int = 0
    ) -> Iterator[bytes]:
        """The bytes from `offset` on, `size` of them or (0) all. Raises as `size` does."""
        ...

    def write(
        self, digest: Digest, size: int, pieces: Iterable[bytes], cancel: Cancellation
    ) -> bool:
        """Store a blob. Returns False if it existed.

        Raises PermissionDenied, Exhausted, Unavailable, Corrupt, Cancelled.
        """
        ...


class Session(Protocol):
    """The session of a build, open as long as the build runs. Thread-safe."""

    @property
    def in_process(self) -> bool:
        """Whether the client is this process, so that its directories are read in place."""
        ...

    @property
    def id(self) -> str:
        """The ID in definitions (`local.session`), "" in the client's own process."""
        ...

    def folder(
        self,
        name: str,
        wanted: FolderRequest,
        cancel: Cancellation,
        progress: Callable[[int], None] | None = None,
    ) -> ProvidedFolder:
        """The directory that is provided under a name (`context`, `dockerfile`, …).

        `progress` gets the number of bytes sent so far.

        Raises NotFound, Unavailable (the client has disconnected), Cancelled.
        """
        ...

    def secret(self, secret_id: str, cancel: Cancellation) -> bytes | None:
        """A secret's value; None if the client has none with this ID.

        Raises PermissionDenied if the client cannot read it, Cancelled.
        """
        ...

    def ssh_socket(self, agent_id: str, cancel: Cancellation) -> str | None:
        """The path of an SSH agent's socket; None if the client provides none with this ID.

        Raises NotFound, InvalidInput (the agent's keys), Unavailable, Cancelled.
        """
        ...

    def upload(self, host: str, path: str, cancel: Cancellation) -> Iterator[bytes]:
        """The stream of `http://<host><path>`, if `host` is `UPLOAD_HOST`.

        Raises NotFound, Unavailable, Cancelled.
        """
        ...

    def content(self, store: str) -> ContentStore:
        """The content store of a layout that is provided under a name."""
        ...

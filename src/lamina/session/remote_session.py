"""A client's session in the daemon: each method is a call to the client."""

from __future__ import annotations

import threading
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from lamina.api import auth, exporter, filesync, policysession, secrets, ssh, upload
from lamina.api.message import unary
from lamina.api.stream import chunks
from lamina.base.errors import Corrupt, InvalidInput, NotFound, Unavailable, from_os_error
from lamina.base.named_tuple import NamedTuple
from lamina.session.failure import ABSENT, asking
from lamina.session.folders import fetch_folder, filters_of
from lamina.system.single_flight import SingleFlight
from lamina.wire.contract import Code, StatusError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from contextlib import AbstractContextManager

    from lamina.api.filesync import Stat
    from lamina.session.agent_socket import AgentSocket
    from lamina.session.artifacts import FileOutput
    from lamina.session.contract import FolderRequest, ProvidedFolder
    from lamina.session.folder_sender import Opener
    from lamina.session.mirrors import Mirrors
    from lamina.session.remote_content import RemoteContent
    from lamina.system.cancel import Cancellation
    from lamina.wire.contract import Channel

_MAX_SECRET = 500 << 10
_GONE = frozenset((Code.UNAVAILABLE, Code.CANCELLED))
_NOT_OFFERED = frozenset((Code.UNAVAILABLE, Code.UNIMPLEMENTED))


class Identity(NamedTuple):
    """The identity in the headers of a session. `methods` (`/package.Service/Method`) are
    supported."""

    id: str
    name: str = ""
    shared_key: str = ""
    methods: frozenset[str] = frozenset()


class Login(NamedTuple):
    """The credentials of a client for a registry. Without a `username`, `secret` is an identity
    token."""

    username: str
    secret: str

    def __repr__(self) -> str:
        return f"Login({self.username!r}, …)"


class Token(NamedTuple):
    """A bearer token. `life` is in seconds."""

    value: str
    life: float

    def __repr__(self) -> str:
        return f"Token(…, {self.life})"


class RemoteSession:
    """Implements `lamina.session.contract.Session` over a channel to the client.

    Directories stay as they were fetched until the session ends. A build that uses the session is
    inside `held`, so they also stay until the last build ends. After the client disconnects, every
    call raises Unavailable.

    Args:
        scratch: a directory for sockets, on a file system that supports them.
        owner: the owner of all files, None for the owners that the client sends.
    """

    def __init__(
        self,
        identity: Identity,
        channel: Channel,
        mirrors: Mirrors,
        scratch: str,
        *,
        owner: tuple[int, int] | None = None,
    ) -> None:
        self.identity = identity
        self._channel = channel
        self._mirrors = mirrors
        self._scratch = scratch
        self._owner = owner
        self._methods = frozenset(method.lower() for method in identity.methods)
        self._lock = threading.Lock()
        self._fetching: SingleFlight[ProvidedFolder] = SingleFlight()
        self._folders: dict[tuple[str, str, str], ProvidedFolder] = {}
        self._agents: dict[str, AgentSocket] = {}
        self._kept = ExitStack()
        self._holders = 1  # the connection is one user

    @property
    def in_process(self) -> bool:
        return False

    @property
    def id(self) -> str:
        return self.identity.id

    @property
    def closed(self) -> bool:
        """Whether the client has disconnected."""
        return self._channel.closed

    def supports(self, method: str) -> bool:
        """Whether the client declares that it supports a method. Case-insensitive."""
        return method.lower() in self._methods

    def folder(
        self,
        name: str,
        wanted: FolderRequest,
        cancel: Cancellation,
        progress: Callable[[int], None] | None = None,
    ) -> ProvidedFolder:
        """A directory of the client, fetched into a mirror, once for equal requests."""
        if not self.supports(filesync.DIFF_COPY):
            raise NotFound(f'the client provides no directories, so not "{name}"')
        key = (name, filters_of(wanted), wanted.shared_key)
        return self._fetching.run(key, lambda: self._fetch(key, wanted, cancel, progress), cancel)

    def secret(self, secret_id: str, cancel: Cancellation) -> bytes | None:
        request = secrets.GetSecretRequest(secret_id)
        with asking(f'read the secret "{secret_id}" of the client', cancel):
            try:
                response = unary(
                    self._channel,
                    secrets.GET_SECRET,
                    request,
                    secrets.GetSecretResponse,
                    secrets.SCHEMA,
                    cancel=cancel,
                )
            except StatusError as error:
                if error.code in ABSENT:
                    return None
                raise
        if len(response.data) > _MAX_SECRET:
            raise InvalidInput(f'the secret "{secret_id}" is larger than 500 KiB')
        return response.data

    def ssh_socket(self, agent_id: str, cancel: Cancellation) -> str | None:
        from lamina.session.agent_socket import AgentSocket

        agent_id = agent_id or "default"
        with self._lock:
            known = self._agents.get(agent_id)
        if known is not None:
            return known.path
        if not self._has_agent(agent_id, cancel):
            return None
        with self._lock:
            self._check_held()
            if agent_id not in self._agents:
                try:
                    agent = AgentSocket(self._channel, agent_id, self._scratch)
                except OSError as error:
                    raise from_os_error(error, "create a socket for the SSH agent") from error
                self._agents[agent_id] = agent
                self._kept.callback(agent.close)
            return self._agents[agent_id].path

    def login(self, host: str) -> Login | None:
        """The client's credentials for a registry, by host (`registry-1.docker.io` for Docker Hub).

        None: it has none. Raises PermissionDenied, Unavailable.
        """
        with asking(f"request the credentials for {host} from the client"):
            try:
                response = unary(
                    self._channel,
                    auth.CREDENTIALS,
                    auth.CredentialsRequest(host),
                    auth.CredentialsResponse,
                    auth.SCHEMA,
                )
            except StatusError as error:
                if error.code is Code.UNIMPLEMENTED:
                    return None
                raise
        return Login(response.username, response.secret) if response.secret else None

    def token(self, request: auth.FetchTokenRequest, cancel: Cancellation) -> Token | None:
        """A token that the client fetches; None if it does not support that.

        Raises PermissionDenied, Unavailable, Corrupt, Cancelled.
        """
        with asking(f"request a token for {request.host} from the client", cancel):
            try:
                response = unary(
                    self._channel,
                    auth.FETCH_TOKEN,
                    request,
                    auth.FetchTokenResponse,
                    auth.SCHEMA,
                    cancel=cancel,
                )
            except StatusError as error:
                if error.code is Code.UNIMPLEMENTED:
                    return None
                raise
        # It becomes part of a header.
        if not response.token or not response.token.isascii() or not response.token.isprintable():
            raise Corrupt(f"the client returned an invalid token for {request.host}")
        return Token(response.token, float(response.expires_in or 60))

    def token_authority(self, host: str, salt: bytes) -> bytes | None:
        """The key (32 bytes, Ed25519) with which the client proves that tokens are its own.

        None if it has none for this host; then use `login`.
        """
        with asking(f"request the key for {host} from the client"):
            try:
                response = unary(
                    self._channel,
                    auth.GET_TOKEN_AUTHORITY,
                    auth.GetTokenAuthorityRequest(host, salt),
                    auth.GetTokenAuthorityResponse,
                    auth.SCHEMA,
                )
            except StatusError as error:
                if error.code is Code.UNIMPLEMENTED or (
                    error.code is Code.UNAVAILABLE and not self.closed
                ):
                    return None
                raise
        return response.public_key if len(response.public_key) == 32 else None

    def upload(self, host: str, path: str, cancel: Cancellation) -> Iterator[bytes]:
        """The stream of `http://<host><path>` (a context on standard input).

        Raises NotFound, Unavailable, Cancelled.
        """
        metadata = ((upload.KEY_PATH, path), (upload.KEY_HOST, host))
        with (
            asking("read the upload of the client", cancel),
            self._channel.open(upload.PULL, metadata, cancel) as call,
        ):
            call.finish_sending()
            yield from chunks(call)

    def content(self, store_id: str) -> RemoteContent:
        """A content store of the client. Whether it exists shows when it is used."""
        from lamina.session.remote_content import RemoteContent

        return RemoteContent(self._channel, store_id)

    def send_folder(
        self,
        number: int,
        stats: Iterable[Stat],
        open_file: Opener,
        progress: Callable[[int], None],
        cancel: Cancellation,
    ) -> None:
        """Send a tree to the destination of output `number`. See `artifacts`."""
        from lamina.session.artifacts import send_folder

        self._check_takes_files()
        send_folder(self._channel, number, stats, open_file, progress, cancel)

    def open_file(
        self, number: int, metadata: Iterable[tuple[str, str]], cancel: Cancellation
    ) -> AbstractContextManager[FileOutput]:
        """Open the destination file of output `number`. See `artifacts`."""
        from lamina.session.artifacts import open_file_output

        self._check_takes_files()
        return open_file_output(self._channel, number, metadata, cancel)

    def find_exporters(
        self, request: exporter.FindExportersRequest, cancel: Cancellation
    ) -> tuple[exporter.ExporterRequest, ...]:
        """The outputs that the client chooses for the result, possibly none."""
        with asking("request outputs from the client", cancel):
            try:
                return unary(
                    self._channel,
                    exporter.FIND_EXPORTERS,
                    request,
                    exporter.FindExportersResponse,
                    exporter.SCHEMA,
                    cancel=cancel,
                ).exporters
            except StatusError as error:
                if error.code in _NOT_OFFERED:
                    return ()
                raise

    def finalize_export(self, response: tuple[tuple[str, str], ...], cancel: Cancellation) -> None:
        """Report to the client that its outputs are complete, if it supports that."""
        with asking("report the outputs to the client", cancel):
            try:
                unary(
                    self._channel,
                    exporter.FINALIZE_EXPORT,
                    exporter.FinalizeExportRequest(response),
                    exporter.FinalizeExportResponse,
                    exporter.SCHEMA,
                    cancel=cancel,
                )
            except StatusError as error:
                if error.code not in _NOT_OFFERED:
                    raise

    def check_policy(
        self, request: policysession.CheckPolicyRequest, /
    ) -> policysession.CheckPolicyResponse:
        """The client's decision about a source of a build."""
        with asking("ask the client to check a source"):
            return unary(
                self._channel,
                policysession.CHECK_POLICY,
                request,
                policysession.CheckPolicyResponse,
                policysession.SCHEMA,
            )

    @contextmanager
    def held(self) -> Iterator[RemoteSession]:
        """Keep directories and sockets for the block. Raises Unavailable."""
        with self._lock:
            self._check_held()
            self._holders += 1
        try:
            yield self
        finally:
            self._let_go()

    def close(self) -> None:
        """Close the session after the client has disconnected, or to disconnect it.

        Called once, by the caller that accepted it.
        """
        self._channel.close()
        self._let_go()

    def _let_go(self) -> None:
        with self._lock:
            self._holders -= 1
            if self._holders:
                return
        self._kept.close()

    def _check_held(self) -> None:
        if not self._holders:
            raise Unavailable("the client has disconnected")

    def _fetch(
        self,
        key: tuple[str, str, str],
        wanted: FolderRequest,
        cancel: Cancellation,
        progress: Callable[[int], None] | None,
    ) -> ProvidedFolder:
        with self._lock:
            known = self._folders.get(key)
        if known is not None:
            return known
        mirror, folder = fetch_folder(
            self._channel,
            key[0],
            wanted,
            self._mirrors,
            self.identity,
            cancel,
            owner=self._owner,
            progress=progress,
        )
        with self._lock:
            if not self._holders:
                mirror.release()
                raise Unavailable("the client has disconnected")
            self._kept.callback(mirror.release)
            self._folders[key] = folder
        return folder

    def _has_agent(self, agent_id: str, cancel: Cancellation) -> bool:
        with asking(f'request the SSH agent "{agent_id}" from the client'):
            try:
                unary(
                    self._channel,
                    ssh.CHECK_AGENT,
                    ssh.CheckAgentRequest(agent_id),
                    ssh.CheckAgentResponse,
                    ssh.SCHEMA,
                    cancel=cancel,
                )
            except StatusError as error:
                if error.code in _GONE:
                    raise
                return False  # clients use various codes for it
        return True

    def _check_takes_files(self) -> None:
        if not self.supports(filesync.SEND_DIFF_COPY):
            raise NotFound("the client does not accept files as an output")

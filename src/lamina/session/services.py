"""The services of a client, which a daemon calls through the session."""

from __future__ import annotations

import os
import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from lamina.api import auth, filesync, health, secrets, ssh, upload
from lamina.api.message import first, request_of, values
from lamina.api.stream import CHUNK, encode_bytes
from lamina.base.errors import LaminaError, NotFound
from lamina.session.contract import FolderRequest
from lamina.session.folder_sender import opener_of, send
from lamina.session.path_selection import Selection
from lamina.session.validators import Validators
from lamina.session.walk import walk
from lamina.system.unix_socket import connect_unix
from lamina.wire.contract import Code, StatusError
from lamina.wire.protobuf import encode

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lamina.session.contract import Session
    from lamina.session.remote_session import Login
    from lamina.system.cancel import Cancellation
    from lamina.wire.contract import Handler, Metadata, ServerCall


class CredentialsProvider(Protocol):
    """The credentials for a registry, by host. None: the client has none."""

    def __call__(self, host: str, /) -> Login | None: ...


def session_services(session: Session) -> dict[str, Handler]:
    """The services for directories, secrets and SSH agents of `session`."""
    served = _SessionServices(session)
    return {
        filesync.DIFF_COPY: served.diff_copy,
        secrets.GET_SECRET: served.get_secret,
        ssh.CHECK_AGENT: served.check_agent,
        ssh.FORWARD_AGENT: served.forward_agent,
    }


def credentials_service(logins: CredentialsProvider) -> dict[str, Handler]:
    """The service for registry credentials. Daemons that support tokens prefer
    `tokens.token_service`."""

    def credentials(call: ServerCall) -> None:
        request = request_of(call, auth.CredentialsRequest, auth.SCHEMA)
        login = logins(request.host)
        response = auth.CredentialsResponse(*login) if login else auth.CredentialsResponse()
        call.send(encode(response, auth.SCHEMA))

    return {auth.CREDENTIALS: credentials}


def upload_service(uploads: Mapping[str, Iterable[bytes]]) -> dict[str, Handler]:
    """The service for streams, by the path of the URL `http://buildkit-session/…`. Each can be read
    once."""
    left = dict(uploads)
    lock = threading.Lock()

    def pull(call: ServerCall) -> None:
        path = first(call.metadata, upload.KEY_PATH)
        with lock:
            pieces = left.pop(path, None)
        if pieces is None:
            raise StatusError(Code.NOT_FOUND, f"there is no upload at {path}")
        for piece in pieces:
            for at in range(0, len(piece), CHUNK):
                call.send(encode_bytes(piece[at : at + CHUNK]))

    return {upload.PULL: pull}


def health_service() -> dict[str, Handler]:
    """The health service, by which the daemon checks whether the client is alive."""

    def check(call: ServerCall) -> None:
        request_of(call, health.HealthCheckRequest, health.SCHEMA)
        response = health.HealthCheckResponse(health.ServingStatus.SERVING)
        call.send(encode(response, health.SCHEMA))

    return {health.CHECK: check}


class _SessionServices:
    def __init__(self, session: Session) -> None:
        self._session = session

    def diff_copy(self, call: ServerCall) -> None:
        name = first(call.metadata, filesync.KEY_DIR_NAME)
        try:
            folder = self._session.folder(name, FolderRequest(), call.cancel)
        except NotFound as error:
            raise StatusError(Code.NOT_FOUND, error.reason) from error
        root = os.path.realpath(folder.path)
        selection = Selection(
            decoded_values(call.metadata, filesync.KEY_INCLUDE_PATTERNS),
            decoded_values(call.metadata, filesync.KEY_EXCLUDE_PATTERNS),
            decoded_values(call.metadata, filesync.KEY_FOLLOW_PATHS),
            root=root,
        )
        validators = Validators(root) if first(call.metadata, filesync.KEY_VALIDATORS) else None
        send(call, walk(root, selection, folder.owner, validators), opener_of(root))

    def get_secret(self, call: ServerCall) -> None:
        request = request_of(call, secrets.GetSecretRequest, secrets.SCHEMA)
        value = self._session.secret(request.id, call.cancel)
        if value is None:
            raise StatusError(Code.NOT_FOUND, f"secret {request.id} not found")
        call.send(encode(secrets.GetSecretResponse(value), secrets.SCHEMA))

    def check_agent(self, call: ServerCall) -> None:
        request = request_of(call, ssh.CheckAgentRequest, ssh.SCHEMA)
        self._agent(request.id, call.cancel)
        call.send(encode(ssh.CheckAgentResponse(), ssh.SCHEMA))

    def forward_agent(self, call: ServerCall) -> None:
        from lamina.session.agent_socket import forward

        path = self._agent(first(call.metadata, ssh.KEY_ID), call.cancel)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as agent:
            try:
                connect_unix(agent, path)
            except OSError as error:
                raise StatusError(Code.UNAVAILABLE, f"the SSH agent: {error}") from error

            def finish() -> None:
                """End the call: the agent has ended, so the call ends when its other direction
                has."""
                call.hang_up()

            def drop() -> None:
                with suppress(OSError):
                    agent.shutdown(socket.SHUT_RDWR)

            with call.cancel.calling(drop):
                forward(call, agent, finish)

    def _agent(self, agent_id: str, cancel: Cancellation) -> str:
        agent_id = agent_id or "default"
        try:
            path = self._session.ssh_socket(agent_id, cancel)
        except LaminaError as error:
            raise StatusError(Code.UNAVAILABLE, error.reason) from error
        if path is None:
            raise StatusError(Code.NOT_FOUND, f"unset ssh forward key {agent_id}")
        return path


def decoded_values(metadata: Metadata, key: str) -> list[str]:
    """Undo `folders.encoded_values`."""
    texts = values(metadata, key)
    if first(metadata, f"{key}-encoded") not in ("1", "true"):
        return texts
    from urllib.parse import unquote_plus

    return [unquote_plus(text, errors="surrogateescape") for text in texts]

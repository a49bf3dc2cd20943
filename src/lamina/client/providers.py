"""The session of an embedded client: local directories, secrets, SSH agents."""

from __future__ import annotations

import os
import stat
import threading
from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput, NotFound, from_os_error
from lamina.client.secret import ProvidedSecret
from lamina.session.contract import UPLOAD_HOST, ProvidedFolder
from lamina.system.cancel import locked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from lamina.client.contract import SessionProviders
    from lamina.client.ssh_keys import KeyAgent
    from lamina.session.contract import ContentStore, FolderRequest
    from lamina.system.cancel import Cancellation


_CONTEXT = "context"


class EmbeddedSession:
    """Implements `lamina.session.contract.Session` in this process. Close it.

    Args:
        folders: paths by name; "" is an empty directory.
        session_id: its ID, "" if no other build names it.
    """

    def __init__(
        self, folders: Mapping[str, str], providers: SessionProviders, session_id: str = ""
    ) -> None:
        self._id = session_id
        self._folders = folders
        self._secrets = {spec.id: ProvidedSecret(spec) for spec in providers.secrets}
        self._agents = {agent.id: agent for agent in providers.ssh}
        self._lock = threading.Lock()
        self._key_lock = threading.Lock()
        self._key_agents: dict[str, KeyAgent] = {}
        self._empty_folder = ""
        self._uploads: dict[str, Iterable[bytes]] = {}
        self._stores: dict[str, str] = {}
        self._made_at: int | None = None

    def provide(
        self,
        folders: Mapping[str, str],
        uploads: Mapping[str, Iterable[bytes]],
        stores: Mapping[str, str],
        made_at: int | None = None,
    ) -> None:
        """Provide more directories, streams and OCI layouts from now on.

        Streams are by the paths of their URLs, and each can be read once. Layouts are by the names
        of stores. `made_at`: see `ProvidedFolder`.
        """
        self._folders = {**self._folders, **folders}
        self._uploads = {**self._uploads, **uploads}
        self._stores = {**self._stores, **stores}
        self._made_at = made_at

    @property
    def in_process(self) -> bool:
        return True

    @property
    def id(self) -> str:
        return self._id

    def folder(
        self,
        name: str,
        wanted: FolderRequest,
        cancel: Cancellation,
        progress: Callable[[int], None] | None = None,
    ) -> ProvidedFolder:
        path = self._folders.get(name)
        if path is None:
            raise NotFound(f'the client does not provide the directory "{name}"')
        if not path:
            path = self._empty()
        if not os.path.isdir(path):
            kind = _CONTEXT if path == self._folders.get(_CONTEXT) else name
            raise NotFound(
                f"the {kind} {path} is not a directory", hint="give the path of the build context"
            )
        return ProvidedFolder(path, made_at=self._made_at if name == _CONTEXT else None)

    def secret(self, secret_id: str, cancel: Cancellation) -> bytes | None:
        secret = self._secrets.get(secret_id)
        return None if secret is None else secret.value(cancel)

    def ssh_socket(self, agent_id: str, cancel: Cancellation) -> str | None:
        spec = self._agents.get(agent_id)
        if spec is None:
            return None
        paths = spec.paths or tuple(filter(None, [os.environ.get("SSH_AUTH_SOCK")]))
        if not paths:
            raise NotFound(
                "--ssh default: there is no SSH agent", hint="start one, or set SSH_AUTH_SOCK"
            )
        try:
            sockets = [path for path in paths if stat.S_ISSOCK(os.stat(path).st_mode)]
        except OSError as error:
            raise from_os_error(error, "find the SSH agent") from error
        if sockets and len(paths) > 1:
            raise InvalidInput(
                f"--ssh {agent_id}: an agent's socket cannot be combined with others",
                hint="give one socket, or one or more keys",
            )
        return sockets[0] if sockets else self._key_agent(agent_id, paths, cancel)

    def upload(self, host: str, path: str, cancel: Cancellation) -> Iterator[bytes]:
        with self._lock:
            pieces = self._uploads.pop(path, None) if host == UPLOAD_HOST else None
        if pieces is None:
            raise NotFound(f"http://{host}{path}: the client does not upload to this address")
        for piece in pieces:
            cancel.check()
            yield piece

    def content(self, store: str) -> ContentStore:
        layout = self._stores.get(store)
        if layout is None:
            raise NotFound(f"the client does not provide the content store {store}")
        from lamina.client.layout_content import LayoutContent

        return LayoutContent(layout)

    def close(self) -> None:
        """Stop the agents that were started for keys, and remove the directory of empty
        contexts."""
        with self._key_lock:
            for agent in self._key_agents.values():
                agent.close()
            self._key_agents.clear()
        with self._lock:
            if self._empty_folder:
                os.rmdir(self._empty_folder)
                self._empty_folder = ""

    def _empty(self) -> str:
        import tempfile

        with self._lock:
            if not self._empty_folder:
                self._empty_folder = tempfile.mkdtemp(prefix="lamina-empty-")
            return self._empty_folder

    def _key_agent(self, agent_id: str, keys: tuple[str, ...], cancel: Cancellation) -> str:
        from lamina.client.ssh_keys import KeyAgent

        with locked(self._key_lock, cancel):
            if agent_id not in self._key_agents:
                self._key_agents[agent_id] = KeyAgent(agent_id, keys, cancel)
            return self._key_agents[agent_id].socket

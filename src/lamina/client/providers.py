"""What an embedded client lends: folders where they lie, secrets, SSH agents."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput, NotFound, from_os_error
from lamina.session.contract import LentFolder

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lamina.client.contract import Lent

_MAX_SECRET = 500 << 10


class EmbeddedSession:
    """Implements `lamina.session.contract.Session` in this process."""

    def __init__(self, folders: Mapping[str, str], lent: Lent) -> None:
        self._folders = folders
        self._secrets = {secret.id: secret for secret in lent.secrets}
        self._agents = {agent.id: agent for agent in lent.ssh}

    def folder(self, name: str) -> LentFolder:
        path = self._folders.get(name, "")
        if not path:
            raise NotFound(f'no folder was given for "{name}"')
        if not os.path.isdir(path):
            raise NotFound(
                f"the {name} {path} is not a folder", hint="give the path of the build context"
            )
        return LentFolder(path)

    def secret(self, secret_id: str) -> bytes | None:
        spec = self._secrets.get(secret_id)
        if spec is None:
            return None
        if spec.env:
            value = os.environ.get(spec.env)
            return None if value is None else os.fsencode(value)
        try:
            with open(spec.path, "rb") as file:
                data = file.read(_MAX_SECRET + 1)
        except OSError as error:
            raise from_os_error(error, f'read the secret "{secret_id}"') from error
        if len(data) > _MAX_SECRET:
            raise InvalidInput(f'the secret "{secret_id}" is larger than 500 KiB')
        return data

    def ssh_socket(self, agent_id: str) -> str | None:
        spec = self._agents.get(agent_id)
        if spec is None:
            return None
        path = spec.paths[0] if spec.paths else os.environ.get("SSH_AUTH_SOCK", "")
        if not path:
            raise NotFound(
                "--ssh default: there is no SSH agent", hint="start one, or set SSH_AUTH_SOCK"
            )
        try:
            if not stat.S_ISSOCK(os.stat(path).st_mode):
                raise InvalidInput(
                    f"--ssh {agent_id}={path} is not an agent's socket",
                    hint="load the key into an agent (ssh-add) and pass the agent",
                )
        except OSError as error:
            raise from_os_error(error, "find the SSH agent") from error
        return path

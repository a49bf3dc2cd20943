"""The port through which the engine borrows from a client."""

from __future__ import annotations

from typing import NamedTuple, Protocol


class LentFolder(NamedTuple):
    """A folder of the client's, readable where it lies."""

    path: str


class Session(Protocol):
    """Lives as long as the build does. Methods are called from any thread."""

    def folder(self, name: str) -> LentFolder:
        """The folder lent under a name (`context`, `dockerfile`, …). Raises NotFound."""
        ...

    def secret(self, secret_id: str) -> bytes | None:
        """A secret's value, or None if the client has none of that id.

        Raises PermissionDenied if it has one that cannot be read.
        """
        ...

    def ssh_socket(self, agent_id: str) -> str | None:
        """The path of an SSH agent's socket, or None if the client lends none of that id."""
        ...

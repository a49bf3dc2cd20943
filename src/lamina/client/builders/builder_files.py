"""The files of named builders, in buildx's directory and format (buildx, package `store`).

| file | content |
|---|---|
| `instances/NAME` | a builder and its nodes |
| `activity/NAME` | when it was last used |
| `current` | the builder that commands use |
| `defaults/DIGEST` | the builder to use with one of Docker's endpoints |
| `.lock` | locked while files change |
"""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from lamina.base.errors import Corrupt, InvalidInput, NotFound, from_os_error
from lamina.client.builders.node_group import NodeGroup, check_name
from lamina.exporters.docker_host import current_context, docker_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_ENDPOINT = "unix:///var/run/docker.sock"
_MINE = 0o700
_INSTANCES, _ACTIVITY, _DEFAULTS, _CURRENT = "instances", "activity", "defaults", "current"


class BuilderFiles:
    """The builders of a user.

    Args:
        environ: has `BUILDX_CONFIG`, the directory, or what names Docker's configuration.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.folder = environ.get("BUILDX_CONFIG") or os.path.join(docker_folder(environ), "buildx")
        self._environ = environ

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the files against other processes for the block, and make missing directories.

        Raises PermissionDenied.
        """
        import fcntl

        try:
            for name in (_INSTANCES, _ACTIVITY, _DEFAULTS):
                os.makedirs(os.path.join(self.folder, name), _MINE, exist_ok=True)
            flags = os.O_CREAT | os.O_RDWR | os.O_CLOEXEC
            fd = os.open(os.path.join(self.folder, ".lock"), flags, 0o600)
        except OSError as error:
            raise from_os_error(error, "open the builders in") from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)

    def groups(self) -> list[NodeGroup]:
        """All builders, by name. Raises Corrupt."""
        try:
            names = sorted(os.listdir(os.path.join(self.folder, _INSTANCES)))
        except (FileNotFoundError, NotADirectoryError):
            return []
        found = map(self._load, names)
        return [group for group in found if group is not None]

    def find(self, name: str) -> NodeGroup | None:
        """A builder by its name, None if there is none. Raises InvalidInput, Corrupt."""
        return self._load(check_name(name))

    def save(self, group: NodeGroup) -> None:
        """Write a builder's file. Raises PermissionDenied."""
        import json

        from lamina.client.builders.group_json import group_to_json

        name = check_name(group.name)
        self.touch(group)
        self._write(os.path.join(_INSTANCES, name), json.dumps(group_to_json(group)))

    def remove(self, name: str) -> None:
        """Remove a builder's files. Raises NotFound, PermissionDenied."""
        name = check_name(name)
        with suppress(FileNotFoundError):
            os.unlink(os.path.join(self.folder, _ACTIVITY, name))
        try:
            os.unlink(os.path.join(self.folder, _INSTANCES, name))
        except FileNotFoundError:
            raise NotFound(f'there is no builder "{name}"') from None
        except OSError as error:
            raise from_os_error(error, "remove") from error

    def current(self) -> str:
        """The name of the builder that commands use, "" for the default one.

        It may have been removed. Raises Corrupt.
        """
        data = self._read(_CURRENT)
        if data:
            chosen = self._document(data, _CURRENT)
            name = str(chosen.get("Name") or "")
            if name and (chosen.get("Global") or chosen.get("Key") == self._endpoint()):
                return name
        if not os.path.isdir(os.path.join(self.folder, _DEFAULTS)):
            return ""
        return self._read(self._default_path(self._endpoint())).decode("utf-8", "replace").strip()

    def use(self, name: str, *, always: bool = False, default: bool = False) -> None:
        """Make commands use a builder, or the default one for "".

        Args:
            always: whichever endpoint of Docker is chosen (buildx's `--global`).
            default: also when the endpoint is chosen again later.

        Raises PermissionDenied.
        """
        import json

        key = self._endpoint()
        self._write(_CURRENT, json.dumps({"Key": key, "Name": name, "Global": always}))
        path = self._default_path(key)
        if default:
            self._write(path, name)
        else:
            with suppress(FileNotFoundError):
                os.unlink(os.path.join(self.folder, path))

    def last_activity(self, name: str) -> str:
        """When a builder was last used, in RFC 3339; "" if that is unknown."""
        return self._read(os.path.join(_ACTIVITY, name)).decode("ascii", "replace").strip()

    def touch(self, group: NodeGroup) -> None:
        """Note that a builder is used now. Raises PermissionDenied."""
        import time

        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self._write(os.path.join(_ACTIVITY, group.name), now)

    def _load(self, name: str) -> NodeGroup | None:
        path = os.path.join(_INSTANCES, name)
        data = self._read(path)
        if not data:
            return None
        from lamina.client.builders.group_json import group_from_json

        return group_from_json(self._document(data, path), os.path.join(self.folder, path))

    def _document(self, data: bytes, path: str) -> dict[str, Any]:
        import json

        try:
            document = json.loads(data)
        except ValueError as error:
            raise Corrupt(f"{self.folder}/{path} is not valid JSON: {error}") from error
        if not isinstance(document, dict):
            raise Corrupt(f"{self.folder}/{path} is not a JSON object")
        return document

    def _endpoint(self) -> str:
        """The chosen endpoint of Docker: its address, or the name of a context."""
        named = self._environ.get("DOCKER_HOST", "")
        try:
            context = "" if named else current_context(self._environ)
        except InvalidInput:
            context = ""
        return context if context not in ("", "default") else named or _ENDPOINT

    @staticmethod
    def _default_path(endpoint: str) -> str:
        from hashlib import sha256

        return os.path.join(_DEFAULTS, sha256(endpoint.encode()).hexdigest()[:20])

    def _read(self, path: str) -> bytes:
        try:
            with open(os.path.join(self.folder, path), "rb") as file:
                return file.read()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return b""
        except OSError as error:
            raise from_os_error(error, "read") from error

    def _write(self, path: str, content: str) -> None:
        """Replace a file atomically."""
        whole = os.path.join(self.folder, path)
        part = os.path.join(self.folder, f".{os.urandom(4).hex()}.part")
        try:
            os.makedirs(os.path.dirname(whole), _MINE, exist_ok=True)
            fd = os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
            with open(fd, "w", encoding="utf-8") as file:
                file.write(content)
            os.replace(part, whole)
        except OSError as error:
            with suppress(FileNotFoundError):
                os.unlink(part)
            raise from_os_error(error, "write") from error

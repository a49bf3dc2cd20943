"""`lamina install` and `lamina uninstall`: lamina as Docker's plugin `buildx`."""

from __future__ import annotations

import os
import stat
import sys
from typing import TYPE_CHECKING, Any

from lamina.base.errors import from_os_error
from lamina.exporters.docker_host import docker_folder
from lamina.registry.login import read_config, write_config

if TYPE_CHECKING:
    from lamina.cli.flags import Parsed

_MARK = "# Made by `lamina install`; `lamina uninstall` removes it."
_PROGRAM = """#!{python}
{mark}
import sys

sys.path.insert(0, {path!r})

from lamina.cli.docker_plugin import entry

entry()
"""
_ALIAS, _PLUGIN = "builder", "buildx"
_DEFAULT_SINCE = 23
"""The version of Docker since which `docker build` uses the plugin without an alias."""


class Installation:
    """The files of the plugin in Docker's directory.

    A plugin that was there before is kept in `lamina/docker-buildx`; `lamina/plugin.json` says what
    has been changed.
    """

    def __init__(self, folder: str) -> None:
        self.program = os.path.join(folder, "cli-plugins", "docker-buildx")
        self.kept = os.path.join(folder, "lamina", "docker-buildx")
        self._state = os.path.join(folder, "lamina", "plugin.json")
        self._config = os.path.join(folder, "config.json")

    @property
    def installed(self) -> bool:
        """Whether the plugin is lamina."""
        try:
            with open(self.program, encoding="utf-8", errors="replace") as file:
                return _MARK in file.read(4096)
        except OSError:
            return False

    def install(self, *, alias: bool) -> None:
        """Write the plugin. With `alias`, also make `docker build` use it.

        Raises PermissionDenied, InvalidInput.
        """
        try:
            for path in (self.program, self.kept):
                os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
            if os.path.lexists(self.program) and not self.installed:
                os.replace(self.program, self.kept)
            part = f"{self.kept}.part"
            with open(part, "w", encoding="utf-8") as file:
                file.write(_program())
            os.chmod(part, stat.S_IRWXU | stat.S_IRGRP | stat.S_IXGRP | stat.S_IROTH | stat.S_IXOTH)
            os.replace(part, self.program)
        except OSError as error:
            raise from_os_error(error, "install the plugin in") from error
        if alias:
            self._set_alias()

    def uninstall(self) -> None:
        """Remove the plugin, and restore what `install` has replaced. Raises PermissionDenied,
        InvalidInput."""
        try:
            if self.installed:
                os.unlink(self.program)
            if os.path.lexists(self.kept) and not os.path.lexists(self.program):
                os.replace(self.kept, self.program)
        except OSError as error:
            raise from_os_error(error, "uninstall the plugin in") from error
        self._restore_alias()

    def _set_alias(self) -> None:
        document = read_config(self._config)
        aliases: dict[str, Any] = document.get("aliases") or {}
        before = aliases.get(_ALIAS)
        if before == _PLUGIN:
            return
        write_config(self._state, {"alias": before})
        write_config(self._config, {**document, "aliases": {**aliases, _ALIAS: _PLUGIN}})

    def _restore_alias(self) -> None:
        state = read_config(self._state)
        if "alias" not in state:
            return
        document = read_config(self._config)
        aliases: dict[str, Any] = dict(document.get("aliases") or {})
        if aliases.get(_ALIAS) == _PLUGIN:
            if state["alias"] is None:
                del aliases[_ALIAS]
            else:
                aliases[_ALIAS] = state["alias"]
            kept = {key: value for key, value in document.items() if key != "aliases"}
            write_config(self._config, {**kept, "aliases": aliases} if aliases else kept)
        try:
            os.unlink(self._state)
        except OSError as error:
            raise from_os_error(error, "remove") from error


def install(parsed: Parsed) -> int:
    """Register lamina as Docker's plugin."""
    installation = Installation(docker_folder(os.environ))
    installation.install(alias=_needs_alias())
    print(f"docker build, docker buildx and docker compose build run {installation.program}")
    if os.path.lexists(installation.kept):
        print(f"`lamina uninstall` restores the plugin that was there: {installation.kept}")
    return 0


def uninstall(parsed: Parsed) -> int:
    """Revert `install`."""
    installation = Installation(docker_folder(os.environ))
    installed = installation.installed
    installation.uninstall()
    print("lamina is no longer Docker's plugin" if installed else "lamina is not Docker's plugin")
    return 0


def _program() -> str:
    import lamina

    path = os.path.dirname(os.path.dirname(os.path.abspath(lamina.__file__)))
    return _PROGRAM.format(python=sys.executable, mark=_MARK, path=path)


def _needs_alias() -> bool:
    """Whether an old Docker CLI needs the alias `builder` for `docker build`."""
    import re
    import subprocess

    try:
        done = subprocess.run(["docker", "--version"], capture_output=True, text=True, check=False)
    except OSError:
        return False
    found = re.search(r"version (\d+)\.", done.stdout)
    return found is not None and int(found[1]) < _DEFAULT_SINCE

"""lamina as Docker's plugin `buildx` (docker/cli, package `cli-plugins`).

Docker starts it as `docker-buildx [DOCKER'S FLAGS] buildx COMMAND …`, and Docker Compose as
`docker-buildx COMMAND …`. `lamina install` writes the program that imports this module.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from lamina import __version__
from lamina.base.buildkit_version import BUILDX_VERSION

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

PLUGIN = "buildx"
_METADATA = "docker-cli-plugin-metadata"
_SOCKET = "DOCKER_CLI_PLUGIN_SOCKET"
_WITH_VALUE = {
    "--config": "DOCKER_CONFIG",
    "--context": "DOCKER_CONTEXT",
    "-c": "DOCKER_CONTEXT",
    "--host": "DOCKER_HOST",
    "-H": "DOCKER_HOST",
    "--log-level": "",
    "-l": "",
    "--tlscacert": "",
    "--tlscert": "",
    "--tlskey": "",
}
"""Docker's flags with a value, and the variables that have the same meaning."""
_SWITCHES = {
    "--debug": "LAMINA_DEBUG",
    "-D": "LAMINA_DEBUG",
    "--tls": "DOCKER_TLS",
    "--tlsverify": "DOCKER_TLS_VERIFY",
}


def entry() -> NoReturn:
    """Run `sys.argv` as a process."""
    from lamina.cli.main import run_process

    run_process(main)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line of Docker (by default `sys.argv`) and return the exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words == [_METADATA]:
        print(_metadata())
        return 0
    from lamina.cli.main import main as run

    os.environ.setdefault("LAMINA_LOAD", "auto")
    _end_with_docker()
    words = without_docker_flags(words)
    if words[:1] == ["inspect"]:
        words.insert(1, "--type=builder")
    if words[:1] == ["version"]:
        print(f"lamina {version()}")
        return 0
    return run(words)


def version() -> str:
    """The version of buildx whose commands lamina has, and lamina's own."""
    return f"{BUILDX_VERSION}+lamina.{__version__}"


def without_docker_flags(words: Sequence[str]) -> list[str]:
    """The command line for lamina. Docker's own flags before it are set in the environment."""
    rest = list(words)
    while rest and rest[0].startswith("-"):
        name, equals, value = rest[0].partition("=")
        if name in _SWITCHES:
            os.environ[_SWITCHES[name]] = "1"
            del rest[0]
        elif name in _WITH_VALUE and (equals or len(rest) > 1):
            if not equals:
                value = rest[1]
                del rest[1]
            del rest[0]
            if variable := _WITH_VALUE[name]:
                os.environ[variable] = value
        else:
            break
    return rest[1:] if rest[:1] == [PLUGIN] else rest


def _metadata() -> str:
    import json

    return json.dumps(
        {
            "SchemaVersion": "0.1.0",
            "Vendor": "lamina",
            "Version": version(),
            "ShortDescription": "Build with lamina",
        }
    )


def _end_with_docker() -> None:
    """Have the kernel send SIGINT when Docker closes its socket, which asks plugins to stop."""
    path = os.environ.get(_SOCKET, "")
    if not path:
        return
    import fcntl
    import signal
    import socket

    connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        connected.connect("\0" + path[1:] if path.startswith("@") else path)
    except OSError:
        connected.close()
        return
    fd = connected.detach()  # open as long as the process
    fcntl.fcntl(fd, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGINT)
    fcntl.fcntl(fd, fcntl.F_SETFL, os.O_ASYNC | os.O_NONBLOCK)

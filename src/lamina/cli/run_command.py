"""`lamina run`."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from lamina.base.errors import Cancelled, InvalidInput, NotFound
from lamina.cli.interrupt import interruptible
from lamina.cli.opening import open_local_store
from lamina.client.contract import RunRequest
from lamina.runtime.contract import CommandNotExecutable, CommandNotFound

if TYPE_CHECKING:
    from lamina.cli.flags import Parsed

_NOT_EXECUTABLE = 126
_NOT_FOUND = 127

_INSTEAD = "build with --load, and run the image in Docker or Podman"


def run(parsed: Parsed) -> int:
    """Run a container. Returns the exit status of its command.

    As in a shell, 127 means that the command does not exist, and 126 that it cannot be executed.
    """
    request = run_request(parsed)
    with (
        open_local_store(parsed, "run images", _INSTEAD) as builder,
        interruptible() as interruption,
    ):
        try:
            return builder.run(request, interruption.cancel)
        except Cancelled:
            if not interruption.signal:
                raise
            return 128 + interruption.signal
        except (CommandNotFound, CommandNotExecutable) as error:
            from lamina.cli.errors import report

            report(error)
            return _NOT_FOUND if isinstance(error, CommandNotFound) else _NOT_EXECUTABLE


def run_request(parsed: Parsed) -> RunRequest:
    """Parse the command line. Raises InvalidInput, NotFound."""
    if parsed.switch("tty") and not os.isatty(sys.stdin.fileno()):
        raise InvalidInput("--tty requires a terminal on standard input", hint="remove -t")
    entrypoint: tuple[str, ...] | None = None
    if parsed.given("entrypoint"):
        text = parsed.text("entrypoint")
        entrypoint = (text,) if text else ()
    image, *arguments = parsed.arguments
    return RunRequest(
        image=image,
        args=tuple(arguments),
        env=_environment(parsed),
        cwd=parsed.text("workdir"),
        user=parsed.text("user"),
        entrypoint=entrypoint,
        network=parsed.text("network", "default"),
        hostname=parsed.text("hostname"),
        volumes=tuple(map(parse_volume, parsed.all("volume"))),
        readonly=parsed.switch("read-only"),
        interactive=parsed.switch("interactive"),
        tty=parsed.switch("tty"),
    )


def _environment(parsed: Parsed) -> tuple[tuple[str, str], ...]:
    variables: dict[str, str] = {}
    for text in parsed.all("env"):
        name, equals, value = text.partition("=")
        if not name:
            raise InvalidInput(f'invalid argument "{text}" for --env: the name is missing')
        if equals or name in os.environ:
            variables[name] = value if equals else os.environ[name]
    return tuple(variables.items())


def parse_volume(text: str) -> tuple[str, str, bool]:
    """Parse `host:container[:ro|rw]` to (absolute host path, container path, read-only)."""
    source, _, rest = text.partition(":")
    target, _, mode = rest.partition(":")
    if not source or not target.startswith("/") or mode not in ("", "ro", "rw"):
        raise InvalidInput(
            f'invalid argument "{text}" for --volume',
            hint="use the form ./data:/data or ./data:/data:ro",
        )
    path = os.path.abspath(os.path.expanduser(source))
    if not os.path.exists(path):
        raise NotFound(f"--volume {text}: there is no {path}")
    return path, target, mode == "ro"

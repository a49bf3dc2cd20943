"""`lamina dap`."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from lamina.base.errors import Cancelled, LaminaError
from lamina.cli.build_command import request_without_context
from lamina.cli.commands import COMMANDS
from lamina.cli.context import open_context
from lamina.cli.errors import describe
from lamina.cli.flags import parse
from lamina.cli.opening import builder_address, open_builder
from lamina.cli.values import parse_context
from lamina.dap.adapter import Adapter
from lamina.dap.protocol import Connection
from lamina.system.cancel import Cancellation

if TYPE_CHECKING:
    from lamina.cli.flags import Parsed
    from lamina.dap.adapter import Launch


def run(parsed: Parsed) -> int:
    """Debug one build. Returns its exit status."""
    # Nothing else may write to the client's connection.
    connection = Connection(sys.stdin.buffer, os.fdopen(os.dup(1), "wb"))
    os.dup2(2, 1)
    cancel = Cancellation()
    adapter = Adapter(connection, cancel)
    launch = adapter.configured()
    if launch is None:
        return 0
    try:
        _build(parsed, adapter, launch, cancel)
    except Cancelled:
        return adapter.finish("")
    except (LaminaError, OSError) as error:
        return adapter.finish(describe(error))
    return adapter.finish(None)


def _build(parsed: Parsed, adapter: Adapter, launch: Launch, cancel: Cancellation) -> None:
    build = parse(COMMANDS["build"], _words(launch))
    request = request_without_context(build)
    named = tuple(map(parse_context, build.all("build-context")))
    with (
        open_context(
            launch.context,
            build.text("file"),
            named,
            sys.stdin.buffer,
            request.providers,
            fetched=not builder_address(parsed),
        ) as context,
        open_builder(parsed) as builder,
    ):
        frontend = adapter.debugger(launch, os.path.basename(launch.dockerfile))
        builder.build_in_client(request._replace(context=context), frontend, adapter.events, cancel)


def _words(launch: Launch) -> list[str]:
    arguments = (f"--build-arg={name}={value}" for name, value in launch.build_args)
    target = (f"--target={launch.target}",) if launch.target else ()
    file = f"--file={launch.dockerfile}"
    return [*launch.flags, *arguments, *target, file, launch.context]

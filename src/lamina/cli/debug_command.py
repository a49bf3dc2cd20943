"""`lamina debug`."""

from __future__ import annotations

import os
from contextlib import nullcontext
from typing import TYPE_CHECKING

from lamina.base.errors import Cancelled, InvalidInput
from lamina.cli import values
from lamina.cli.interrupt import interruptible
from lamina.cli.opening import open_history, open_local_store
from lamina.cli.recorded import ended_record
from lamina.client.contract import SessionProviders
from lamina.client.debug_shell import DebugShell

if TYPE_CHECKING:
    from lamina.cli.flags import Parsed
    from lamina.ops.debugging import EndedCommand
    from lamina.runtime.contract import Runtime

_STDERR = 2
_INSTEAD = "use `lamina build --debug`, or `docker buildx debug build`"


def run(parsed: Parsed) -> int:
    """Open a shell in the failed step of a record, or run a command there. Returns its exit
    status."""
    name, *command = parsed.arguments or [""]
    if not command and not (os.isatty(0) and os.isatty(_STDERR)):
        raise InvalidInput(
            "a shell requires a terminal on standard input and standard error",
            hint="give a command after the build: lamina debug ^ cat /app/test.log",
        )
    environ = os.environ
    providers = SessionProviders(
        tuple(values.parse_secret(text, environ) for text in parsed.all("secret")),
        tuple(values.parse_ssh(text, environ) for text in parsed.all("ssh")),
    )
    with open_local_store(parsed, "open shells in failed steps", _INSTEAD) as store:
        with open_history(parsed) as history:
            ref = ended_record(history, history.rows(), name, "use `lamina build --debug`").ref
        with interruptible() as interruption:
            cancel = interruption.cancel

            def inside(failed: EndedCommand, runtime: Runtime) -> int:
                if not command:
                    return DebugShell(nullcontext).open(failed, runtime, cancel)
                process = failed.process._replace(args=tuple(command))
                status = runtime.attach(process, failed.sandbox, terminal=False, interactive=True)
                return status.code

            try:
                return store.in_failed_step(ref, providers, inside, cancel)
            except Cancelled as error:
                return interruption.exit_status(error)

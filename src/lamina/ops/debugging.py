"""The port of a debugger: what it is told of a command that has ended, and what it decides."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Protocol

from lamina.base.named_tuple import NamedTuple

if TYPE_CHECKING:
    from lamina.base.errors import LaminaError
    from lamina.runtime.contract import Process, Runtime, Sandbox
    from lamina.system.cancel import Cancellation


class Decision(Enum):
    """PROCEED: as if there were no debugger. GIVE_UP: the step fails. RETRY: it runs again, on its
    inputs. ACCEPT: its files are its result in this build, but are not cached."""

    PROCEED = ""
    GIVE_UP = "exit"
    RETRY = "retry"
    ACCEPT = "continue"


class EndedCommand(NamedTuple):
    """A command that has ended. Its mounts are still there: `sandbox` can be used again.

    `name` is that of the step; `error` is why it failed, None if it succeeded.
    """

    name: str
    process: Process
    sandbox: Sandbox
    error: LaminaError | None


class StepDebugger(Protocol):
    def ended(self, command: EndedCommand, runtime: Runtime, cancel: Cancellation) -> Decision:
        """Called by the threads that run steps."""
        ...

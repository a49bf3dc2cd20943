"""The port of a debugger: what it is told of a failed step, and what it decides."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Protocol

from lamina.base.named_tuple import NamedTuple

if TYPE_CHECKING:
    from lamina.base.errors import LaminaError
    from lamina.runtime.contract import Process, Runtime, Sandbox
    from lamina.system.cancel import Cancellation


class Decision(Enum):
    """GIVE_UP: the step fails. RETRY: it runs again, on its inputs. ACCEPT: its files are its
    result in this build, but are not cached."""

    GIVE_UP = "exit"
    RETRY = "retry"
    ACCEPT = "continue"


class FailedCommand(NamedTuple):
    """A command that failed. Its mounts are still there: `sandbox` can be used again."""

    digest: str
    process: Process
    sandbox: Sandbox
    error: LaminaError


class StepDebugger(Protocol):
    def failed(self, command: FailedCommand, runtime: Runtime, cancel: Cancellation) -> Decision:
        """Called by the thread that runs the step. One call at a time."""
        ...

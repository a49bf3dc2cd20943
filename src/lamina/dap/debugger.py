"""Runs a build step by step: the client frontend of the debug adapter."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Protocol

from lamina.base.errors import LaminaError
from lamina.base.named_tuple import NamedTuple
from lamina.client.frontend_attributes import FRONTEND
from lamina.client.linked_results import refs_of
from lamina.client.remote_debug import failed_command, failed_vertex
from lamina.dap.program import Action, Program
from lamina.llb.state import marshal, unmarshal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lamina.api import gateway
    from lamina.client.remote_debug import FailedCommand
    from lamina.dap.program import Step
    from lamina.gateway.client import GatewayClient
    from lamina.llb.state import Edge
    from lamina.system.cancel import Cancellation


class Paused(NamedTuple):
    """A paused build: `at` is the index of the step that runs next, or that has failed.

    `error` is why it failed, and `failed` what it left, if it is a command.
    """

    at: int
    reason: str
    error: LaminaError | None = None
    failed: FailedCommand | None = None


class Observer(Protocol):
    """Is told of the build. Called by its thread."""

    def loaded(self, program: Program) -> None: ...

    def paused(self, state: Paused) -> None: ...


class Debugger:
    """A `ClientFrontend`. The editor's thread controls it. Thread-safe.

    Args:
        filename: the name of the Dockerfile in the build.
        stop_on_entry: whether to pause before the first step.
    """

    def __init__(
        self, observer: Observer, filename: str, cancel: Cancellation, *, stop_on_entry: bool
    ) -> None:
        self._observer = observer
        self._filename = filename
        self._cancel = cancel
        self._entry = Action.IN if stop_on_entry else Action.CONTINUE
        self._changed = threading.Condition()
        self._action: Action | None = None
        self._lines: frozenset[int] = frozenset()
        self._refs: dict[tuple[str, int], str] = {}
        self.program = Program(None, filename)
        self.attributes: Mapping[str, str] = {}
        self.metadata: Mapping[str, bytes] = {}
        self.gateway: GatewayClient | None = None
        self.state: Paused | None = None

    def __call__(self, gateway: GatewayClient, attributes: Mapping[str, str]) -> gateway.Result:
        result = gateway.run_frontend(FRONTEND, attributes, {})
        refs = refs_of(result)
        self.gateway, self.attributes = gateway, attributes
        self.metadata = dict(result.metadata)
        definition = refs[0].definition if refs else None
        self.program = Program(
            None if definition is None else unmarshal(definition), self._filename
        )
        self._observer.loaded(self.program)
        index, action = -1, self._entry
        try:
            while (found := self.program.next_stop(index, action, self._stops)) is not None:
                step = self.program.steps[found]
                self.ref_of(step.parent)
                reason = "breakpoint" if self._stops(step) else "step"
                if index < 0 and self._entry is Action.IN:
                    reason = "entry"
                index, action = found, self._pause(Paused(found, reason))
            for ref in refs:
                gateway.evaluate(ref.id)
        except LaminaError as error:
            self._cancel.check()
            where = self.program.find(failed_vertex(error))
            if where is not None:
                self._pause(Paused(where, "exception", error, failed_command(error, refs)))
            raise
        return result

    def resume(self, action: Action) -> None:
        with self._changed:
            self._action = action
            self._changed.notify_all()

    def set_lines(self, lines: frozenset[int]) -> None:
        """Set the first lines of the steps to pause before."""
        with self._changed:
            self._lines = lines

    def ref_of(self, edge: Edge | None) -> str:
        """The id of a result, which is built first; "" for an empty file system.

        Raises the error that stopped the build.
        """
        if edge is None:
            return ""
        key = (str(edge.vertex.digest), edge.output)
        if key not in self._refs:
            assert self.gateway is not None
            self._refs[key] = self.gateway.solve(marshal(edge), evaluate=True).id
        return self._refs[key]

    def _stops(self, step: Step) -> bool:
        with self._changed:
            return step.first in self._lines

    def _pause(self, state: Paused) -> Action:
        with self._changed:
            self.state, self._action = state, None
        self._observer.paused(state)
        with self._changed, self._cancel.calling(self._wake):
            while self._action is None and not self._cancel.cancelled:
                self._changed.wait()
            self.state = None
        self._cancel.check()
        return self._action or Action.CONTINUE

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

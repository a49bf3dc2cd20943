"""Answers an editor's requests, and reports the build to it.

The main thread reads requests until the configuration is done, then it builds: an engine in this
process has to be created before threads start. From the first pause on another thread reads.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

from lamina.base.errors import InvalidInput, LaminaError
from lamina.base.events import LogEvent, VertexEvent
from lamina.base.named_tuple import NamedTuple
from lamina.dap.debugger import Debugger
from lamina.dap.inspection import Inspection
from lamina.dap.program import Action
from lamina.wire.contract import StatusError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lamina.base.events import Event
    from lamina.dap.debugger import Paused
    from lamina.dap.program import Program, Step
    from lamina.dap.protocol import Connection
    from lamina.system.cancel import Cancellation

    Request = dict[str, Any]

THREAD = 1
_CAPABILITIES = {
    "supportsConfigurationDoneRequest": True,
    "supportsTerminateRequest": True,
    "supportsEvaluateForHovers": False,
}
_REASONS = {"exception": "The step failed", "entry": "Before the first step"}


class Launch(NamedTuple):
    """What the editor launches. `dockerfile` and `context` are absolute paths.

    `flags` are further flags of `lamina build`.
    """

    dockerfile: str
    context: str
    target: str = ""
    stop_on_entry: bool = False
    build_args: tuple[tuple[str, str], ...] = ()
    flags: tuple[str, ...] = ()


def read_launch(arguments: Mapping[str, Any]) -> Launch:
    """The arguments of a launch request. Raises InvalidInput."""
    context = _text(arguments, "contextPath") or "."
    dockerfile = _text(arguments, "dockerfile") or os.path.join(context, "Dockerfile")
    given = arguments.get("buildArgs") or {}
    flags = arguments.get("flags") or []
    if not isinstance(given, dict) or not all(isinstance(v, str) for v in given.values()):
        raise InvalidInput("buildArgs is not an object of texts")
    if not isinstance(flags, list) or not all(isinstance(flag, str) for flag in flags):
        raise InvalidInput("flags is not an array of texts")
    return Launch(
        os.path.abspath(dockerfile),
        os.path.abspath(context),
        _text(arguments, "target"),
        arguments.get("stopOnEntry") is True,
        tuple(given.items()),
        tuple(flags),
    )


def _text(arguments: Mapping[str, Any], name: str) -> str:
    value = arguments.get(name, "")
    if not isinstance(value, str):
        raise InvalidInput(f"{name} is not a text")
    return value


class Adapter:
    """One debug session. Implements `lamina.dap.debugger.Observer`."""

    def __init__(self, connection: Connection, cancel: Cancellation) -> None:
        self._connection = connection
        self._cancel = cancel
        self._lock = threading.Lock()
        self._launch: Launch | None = None
        self._launching: Request | None = None
        self._breakpoints: dict[int, int] = {}  # lines by the ids of breakpoints
        self._created = 0
        self._debugger: Debugger | None = None
        self._inspection: Inspection | None = None
        self._configured = False
        self._handlers: dict[str, Callable[[Request], Mapping[str, Any] | None]] = {
            "initialize": self._initialize,
            "launch": self._start,
            "setBreakpoints": self._set_breakpoints,
            "setExceptionBreakpoints": lambda _: None,
            "configurationDone": self._configuration_done,
            "threads": lambda _: {"threads": [{"id": THREAD, "name": "build"}]},
            "stackTrace": self._stack_trace,
            "scopes": self._scopes,
            "variables": self._variables,
            "evaluate": self._evaluate,
            "disconnect": self._disconnect,
            "terminate": self._disconnect,
        }

    def configured(self) -> Launch | None:
        """Answer requests until the editor has configured the session.

        Returns what it launches, None if it ends the session.
        """
        while not (self._configured and self._launch is not None):
            if not self._answer_one():
                return None
            if self._cancel.cancelled:
                return None
        return self._launch

    def debugger(self, launch: Launch, filename: str) -> Debugger:
        """The frontend of the build. `filename` is the name of the Dockerfile in the build."""
        self._debugger = Debugger(self, filename, self._cancel, stop_on_entry=launch.stop_on_entry)
        return self._debugger

    def finish(self, failure: str | None) -> int:
        """Report the end of the build. Returns its exit status.

        Args:
            failure: the text of its error, None if it succeeded.
        """
        code = 0 if failure is None else 1
        if failure:
            self._print(f"{failure}\n", "stderr")
        self._connection.event("exited", {"exitCode": code})
        self._connection.event("terminated")
        return code

    def events(self, event: Event, /) -> None:
        """The event sink of the build: prints steps and their output."""
        if isinstance(event, LogEvent):
            self._print(event.data.decode("utf-8", "replace"), "stdout")
        elif isinstance(event, VertexEvent) and event.completed is not None:
            outcome = "CACHED" if event.cached else "ERROR" if event.error else "DONE"
            self._print(f"{outcome} {event.name}\n", "console")

    def loaded(self, program: Program) -> None:
        threading.Thread(target=self._read, name="dap", daemon=True).start()
        with self._lock:
            known = dict(self._breakpoints)
        self._apply(known)
        for number, line in known.items():
            self._connection.event(
                "breakpoint",
                {"reason": "changed", "breakpoint": self._breakpoint(number, line, program)},
            )
        self._connection.event("thread", {"reason": "started", "threadId": THREAD})

    def paused(self, state: Paused) -> None:
        assert self._debugger is not None
        with self._lock:
            self._inspection = Inspection(self._debugger, state)
        body: dict[str, Any] = {
            "reason": state.reason,
            "threadId": THREAD,
            "allThreadsStopped": True,
        }
        if state.reason in _REASONS:
            body["description"] = _REASONS[state.reason]
        if state.error is not None:
            body["text"] = state.error.reason
        self._connection.event("stopped", body)

    def _read(self) -> None:
        while self._answer_one():
            continue
        self._end()

    def _answer_one(self) -> bool:
        """Answer a request. Returns whether the client is still there."""
        try:
            request = self._connection.receive()
        except InvalidInput as error:
            self._print(f"{error.reason}\n", "stderr")
            return False
        if request is None:
            return False
        command = request["command"]
        if not isinstance(request.get("arguments", {}), dict):
            self._connection.refuse(request, "the arguments are not an object")
        elif command in {action.value for action in Action}:
            self._go_on(request, Action(command))
        elif (handler := self._handlers.get(command)) is None:
            self._connection.refuse(request, f"{command} is not supported")
        else:
            self._handle(request, handler)
        return True

    def _handle(
        self, request: Request, handler: Callable[[Request], Mapping[str, Any] | None]
    ) -> None:
        try:
            body = handler(request)
        except LaminaError as error:
            self._connection.refuse(request, error.reason)
        except StatusError as error:
            self._connection.refuse(request, error.message)
        except (TypeError, ValueError, KeyError, IndexError) as error:
            self._connection.refuse(request, f"malformed arguments: {error}")
        else:
            self._connection.respond(request, body)
            if request["command"] == "initialize":
                self._connection.event("initialized")

    def _initialize(self, _: Request) -> Mapping[str, Any]:
        return _CAPABILITIES

    def _start(self, request: Request) -> None:
        if self._launch is not None:
            raise InvalidInput("the session has been launched already")
        self._launch = read_launch(request.get("arguments", {}))

    def _configuration_done(self, _: Request) -> None:
        self._configured = True

    def _set_breakpoints(self, request: Request) -> Mapping[str, Any]:
        arguments = request.get("arguments", {})
        path = os.path.abspath(str(arguments["source"].get("path", "")))
        wanted = [int(entry["line"]) for entry in arguments.get("breakpoints") or ()]
        launch = self._launch
        if launch is not None and path != launch.dockerfile:
            refused = {"verified": False, "message": "not the Dockerfile of this build"}
            return {"breakpoints": [refused | {"line": line} for line in wanted]}
        with self._lock:
            first = self._created + 1
            self._created += len(wanted)
            self._breakpoints = dict(enumerate(wanted, first))
            known = dict(self._breakpoints)
        self._apply(known)
        program = None if self._debugger is None else self._debugger.program
        return {"breakpoints": [self._breakpoint(n, line, program) for n, line in known.items()]}

    def _apply(self, breakpoints: Mapping[int, int]) -> None:
        debugger = self._debugger
        if debugger is not None:
            lines = map(debugger.program.line_of, breakpoints.values())
            debugger.set_lines(frozenset(line for line in lines if line is not None))

    @staticmethod
    def _breakpoint(number: int, line: int, program: Program | None) -> dict[str, Any]:
        if program is None or not program.steps:
            return {"id": number, "verified": False, "line": line, "reason": "pending"}
        found = program.line_of(line)
        if found is None:
            return {"id": number, "verified": False, "line": line, "message": "no step there"}
        return {"id": number, "verified": True, "line": found}

    def _stack_trace(self, _: Request) -> Mapping[str, Any]:
        debugger, state = self._current()
        program = debugger.program
        frames = [self._frame(index, program.steps[index]) for index in program.stack(state.at)]
        return {"stackFrames": frames, "totalFrames": len(frames)}

    def _frame(self, index: int, step: Step) -> dict[str, Any]:
        assert self._launch is not None
        path = self._launch.dockerfile
        return {
            "id": index + 1,
            "name": step.name,
            "source": {"name": os.path.basename(path), "path": path},
            "line": step.first,
            "endLine": step.last,
            "column": 1,
        }

    def _scopes(self, request: Request) -> Mapping[str, Any]:
        debugger, _ = self._current()
        index = int(request["arguments"]["frameId"]) - 1
        if not 0 <= index < len(debugger.program.steps):
            raise InvalidInput(f"no stack frame has the id {index + 1}")
        return {"scopes": self._inspect().scopes(index)}

    def _variables(self, request: Request) -> Mapping[str, Any]:
        self._current()
        reference = int(request["arguments"]["variablesReference"])
        return {"variables": self._inspect().variables(reference)}

    def _evaluate(self, request: Request) -> Mapping[str, Any]:
        self._current()
        command = str(request["arguments"]["expression"])
        if not command.strip():
            return {"result": "", "variablesReference": 0}
        return {"result": self._inspect().run(command), "variablesReference": 0}

    def _go_on(self, request: Request, action: Action) -> None:
        try:
            debugger, _ = self._current()
        except InvalidInput as error:
            self._connection.refuse(request, error.reason)
            return
        with self._lock:
            self._inspection = None
        self._connection.respond(request, {"allThreadsContinued": True})
        debugger.resume(action)

    def _disconnect(self, _: Request) -> None:
        self._end()

    def _end(self) -> None:
        self._cancel.cancel("the debugger disconnected")

    def _current(self) -> tuple[Debugger, Paused]:
        debugger = self._debugger
        state = None if debugger is None else debugger.state
        if debugger is None or state is None:
            raise InvalidInput("the build is not paused")
        return debugger, state

    def _inspect(self) -> Inspection:
        with self._lock:
            inspection = self._inspection
        if inspection is None:
            raise InvalidInput("the build is not paused")
        return inspection

    def _print(self, text: str, category: str) -> None:
        self._connection.event("output", {"category": category, "output": text})

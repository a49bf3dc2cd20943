"""`ExecProcess`: processes of a frontend's containers, over one stream of messages.

For each process the client sends `Init`, and gets `Started`, the data of descriptors with an end
of each, `Exit`, and `Done` as the last message. Meanwhile it sends data of standard input, signals
by name, and sizes of the terminal (BuildKit's `frontend/gateway`).
"""

from __future__ import annotations

import os
import queue
import select
import signal
import threading
import tty
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from lamina.api import container as api
from lamina.api.failures import to_status
from lamina.api.message import receive
from lamina.api.status import status_of
from lamina.base.errors import LaminaError
from lamina.base.gotext import quote
from lamina.engine.frontends.containers import UNKNOWN_EXIT
from lamina.runtime.contract import Pipes, Terminal, TerminalSize
from lamina.wire.contract import Code, StatusError
from lamina.wire.protobuf import encode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lamina.engine.frontends.containers import GatewayContainer, GatewayContainers
    from lamina.runtime.contract import RunningProcess
    from lamina.wire.contract import ServerCall

_HIGHEST_FD = 63
_CHUNK = 32 << 10
_INPUT_CHUNKS = 64
"""Messages of standard input that a process has not read; further ones have to wait."""


class ExecStream:
    """Serves one call. Its processes end with it."""

    def __init__(self, call: ServerCall, containers: GatewayContainers) -> None:
        self._call = call
        self._containers = containers
        self._sending = threading.Lock()
        self._processes: dict[str, _Served] = {}

    def serve(self) -> None:
        """Serve the call. Raises StatusError: an invalid message, or the client is gone."""
        call = self._call
        try:
            with call.cancel.calling(self._gone):
                while (message := receive(call, api.ExecMessage, api.SCHEMA)) is not None:
                    self._take(message)
                for process in self._processes.values():
                    process.end_input()
                for process in self._processes.values():
                    process.join()
        except LaminaError as error:
            self._kill()
            raise to_status(error) from error
        except BaseException:
            self._kill()
            raise
        finally:
            for process in self._processes.values():
                process.join()

    def end(self, seconds: float) -> None:
        """Wait until its processes have ended and their messages are sent, then end the call."""
        for process in list(self._processes.values()):
            process.join(seconds)
        self._call.hang_up()

    def send(self, message: api.ExecMessage) -> None:
        """Send a message about a process, unless the client is gone."""
        with self._sending, suppress(StatusError):
            self._call.send(encode(message, api.SCHEMA))

    def _gone(self) -> None:
        # Killing can take a moment, and this is the connection's thread.
        threading.Thread(target=self._kill, name="exec-kill", daemon=True).start()

    def _kill(self) -> None:
        for process in list(self._processes.values()):
            process.kill()

    def _take(self, message: api.ExecMessage) -> None:
        name = message.process_id
        if not name:
            raise StatusError(Code.INVALID_ARGUMENT, "ProcessID required")
        known = self._processes.get(name)
        if message.init is not None:
            if known is not None:
                raise StatusError(Code.ALREADY_EXISTS, f"Process {name} already exists")
            self._processes[name] = self._start(name, message.init)
            return
        if known is None:
            raise StatusError(Code.NOT_FOUND, f"IO for process {quote(name)} not found")
        if message.file is not None:
            known.write(message.file)
        elif message.resize is not None:
            known.resize(message.resize)
        elif message.signal is not None:
            known.send(message.signal.name)

    def _start(self, name: str, init: api.InitMessage) -> _Served:
        container = self._containers.find(init.container_id)
        if container is None:
            said = f"container {quote(init.container_id)} previously released or not created"
            raise StatusError(Code.NOT_FOUND, said)
        highest = max(init.fds, default=0)
        if highest > _HIGHEST_FD or min(init.fds, default=0) < 0:
            reason = f"a process has the descriptors 0 to {_HIGHEST_FD}, not {highest}"
            raise StatusError(Code.INVALID_ARGUMENT, reason)
        return _Served(name, init, container, self)


class _Served:
    """One process, and the threads that carry its data."""

    def __init__(
        self, name: str, init: api.InitMessage, container: GatewayContainer, stream: ExecStream
    ) -> None:
        self._name = name
        self._container = container
        self._stream = stream
        self._process: RunningProcess | None = None
        self._input: queue.Queue[bytes | None] | None = None
        self._ended = threading.Event()
        self._threads: list[threading.Thread] = []
        refusal: StatusError | None = None
        try:
            container.check(init)
        except LaminaError as error:
            refusal = to_status(error)
        ends = _Ends(init.fds, terminal=init.tty)
        try:
            if refusal is None:
                self._process = container.start(init, ends.streams)
        except BaseException:
            ends.close()
            raise
        finally:
            ends.close_given()
        if 0 in init.fds:
            self._input = queue.Queue(_INPUT_CHUNKS)
        stream.send(api.ExecMessage(name, started=api.StartedMessage()))
        if ends.input >= 0:
            self._run("exec-input", partial(self._carry_input, ends.input))
        self._run("exec-output", partial(self._carry_output, ends.outputs, init.fds, refusal))

    def _run(self, name: str, target: Callable[[], None]) -> None:
        thread = threading.Thread(target=target, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def write(self, message: api.FdMessage) -> None:
        """Write to a descriptor. Raises StatusError if the process has no such descriptor."""
        pending = self._input
        if pending is None or message.fd != 0:
            raise StatusError(Code.OUT_OF_RANGE, f"fd {message.fd} unavailable to write")
        if message.data:
            self._put(message.data)
        if message.eof:
            self._put(None)

    def end_input(self) -> None:
        self._put(None)

    def _put(self, data: bytes | None) -> None:
        while self._input is not None and not self._ended.is_set():
            try:
                self._input.put(data, timeout=0.1)
            except queue.Full:
                continue
            return

    def resize(self, message: api.ResizeMessage) -> None:
        columns, rows = message.cols, message.rows
        if not (0 < columns <= 0xFFFF and 0 < rows <= 0xFFFF):
            reason = f"invalid size of a terminal: {columns} columns, {rows} rows"
            raise StatusError(Code.INVALID_ARGUMENT, reason)
        if self._process is not None:
            self._process.resize(TerminalSize(columns, rows))

    def send(self, name: str) -> None:
        number = _SIGNALS.get(name)
        if number is None:
            raise StatusError(Code.INVALID_ARGUMENT, f"Unknown signal {name}")
        if self._process is not None:
            self._process.send(number)

    def kill(self) -> None:
        if self._process is not None:
            self._process.send(signal.SIGKILL)

    def join(self, seconds: float | None = None) -> None:
        for thread in self._threads:
            thread.join(seconds)

    def _carry_input(self, fd: int) -> None:
        assert self._input is not None
        try:
            while not self._ended.is_set():
                try:
                    data = self._input.get(timeout=0.1)
                except queue.Empty:
                    continue
                if data is None:
                    return
                _write_all(fd, data, self._ended)
        except OSError:
            pass  # the process does not read any more
        finally:
            os.close(fd)

    def _carry_output(
        self, outputs: Mapping[int, int], fds: tuple[int, ...], refusal: StatusError | None
    ) -> None:
        waiting = threading.Thread(
            target=self._report_exit, args=(refusal,), name="exec-wait", daemon=True
        )
        waiting.start()
        open_outputs = dict(outputs)
        for number in fds:
            if number and number not in open_outputs.values():
                self._send_end(number)
        poll = select.poll()
        for fd in open_outputs:
            poll.register(fd, select.POLLIN)
        while open_outputs:
            for fd, _ in poll.poll():
                try:
                    data = os.read(fd, _CHUNK)
                except OSError:  # the other side of a terminal is closed
                    data = b""
                number = open_outputs[fd]
                if data:
                    if number in fds:
                        self._send_data(number, data)
                    continue
                poll.unregister(fd)
                os.close(fd)
                del open_outputs[fd]
                if number in fds:
                    self._send_end(number)
        waiting.join()
        self._stream.send(api.ExecMessage(self._name, done=api.DoneMessage()))

    def _send_data(self, number: int, data: bytes) -> None:
        self._stream.send(api.ExecMessage(self._name, file=api.FdMessage(number, data=data)))

    def _send_end(self, number: int) -> None:
        self._stream.send(api.ExecMessage(self._name, file=api.FdMessage(number, eof=True)))

    def _report_exit(self, refusal: StatusError | None) -> None:
        code, failure = UNKNOWN_EXIT, refusal
        if self._process is not None:
            code, failure = self._container.outcome(self._process)
        self._ended.set()
        status = None if failure is None else status_of(failure)
        self._stream.send(api.ExecMessage(self._name, exit=api.ExitMessage(code, status)))


class _Ends:
    """The pipes or the pseudo-terminal of a process.

    `streams` are for the process. `input` is -1 without standard input; `outputs` are the numbers
    in the process by our descriptors.
    """

    def __init__(self, fds: tuple[int, ...], *, terminal: bool) -> None:
        self.input = -1
        self.outputs: dict[int, int] = {}
        self._given: list[int] = []
        try:
            self.streams = self._terminal(fds) if terminal else self._pipes(fds)
        except OSError:
            self.close()
            raise

    def _terminal(self, fds: tuple[int, ...]) -> Terminal:
        master, slave = os.openpty()
        self._given.append(slave)
        self.outputs[master] = 1
        tty.setraw(slave)  # the terminal in the container does the rest
        if 0 in fds:
            self.input = os.dup(master)
        return Terminal(slave)

    def _pipes(self, fds: tuple[int, ...]) -> Pipes:
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        self._given.append(null)
        numbers = {0: null}
        for number in sorted(set(fds)):
            reading, writing = os.pipe2(os.O_CLOEXEC)
            if number == 0:
                numbers[0], self.input = reading, writing
                os.set_blocking(writing, False)
            else:
                numbers[number] = writing
                self.outputs[reading] = number
            self._given.append(numbers[number])
        last = max(numbers)
        further = tuple(numbers.get(number, null) for number in range(3, last + 1))
        return Pipes(numbers[0], numbers.get(1, null), numbers.get(2, null), further)

    def close_given(self) -> None:
        while self._given:
            os.close(self._given.pop())

    def close(self) -> None:
        self.close_given()
        for fd in self.outputs:
            os.close(fd)
        if self.input >= 0:
            os.close(self.input)


def _write_all(fd: int, data: bytes, ended: threading.Event) -> None:
    """Write to a non-blocking descriptor, until the process has ended. Raises OSError."""
    view = memoryview(data)
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    while view and not ended.is_set():
        if poll.poll(100):
            with suppress(BlockingIOError):
                view = view[os.write(fd, view) :]


def _signals() -> dict[str, int]:
    """Signals by the names that BuildKit's clients use: without `SIG`."""
    found = {
        name.removeprefix("SIG"): int(getattr(signal, name))
        for name in dir(signal)
        if name.startswith("SIG") and name[3].isalpha()
    }
    for offset in range(1, 16):
        found[f"RTMIN+{offset}"] = int(signal.SIGRTMIN) + offset
    for offset in range(1, 15):
        found[f"RTMAX-{offset}"] = int(signal.SIGRTMAX) - offset
    return found


_SIGNALS = _signals()

"""Runs in a child of the tests, which owns the mount namespace: what containers must do.

Arguments: the runtime, an existing directory, a root file system. Prints JSON.
"""

from __future__ import annotations

import glob
import json
import os
import sys
import threading
from typing import Any

from lamina.base.errors import LaminaError
from lamina.runtime.binary import find_runtime
from lamina.runtime.cgroups import hide_hybrid_hierarchy
from lamina.runtime.contract import Container, Pipes, Process, Sandbox, Terminal, TerminalSize
from lamina.runtime.runner import OciRunner
from lamina.runtime.terminal import set_size
from lamina.system.mount import private_namespace

PATH = "PATH=/bin"


def process(*args: str, env: tuple[str, ...] = ()) -> Process:
    return Process(args, (PATH, *env))


class Running:
    """A process with pipes: `out` has both streams, `further` what it wrote to 3, 4, …"""

    def __init__(self, container: Container, wanted: Process, further: int = 0) -> None:
        null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        pairs = [os.pipe2(os.O_CLOEXEC) for _ in range(1 + further)]
        writing = [pair[1] for pair in pairs]
        self.reading = [pair[0] for pair in pairs]
        streams = Pipes(null, writing[0], writing[0], tuple(writing[1:]))
        self.process = container.start(wanted, streams)
        for fd in (null, *writing):
            os.close(fd)

    def until(self, text: bytes) -> None:
        seen = b""
        while text not in seen:
            data = os.read(self.reading[0], 4096)
            assert data, seen
            seen += data

    def end(self) -> list[Any]:
        """The outputs, and how it ended."""
        texts = []
        for fd in self.reading:
            with open(fd, "rb") as file:
                texts.append(file.read().decode())
        return [*texts, how(self.process)]


def how(running: Any) -> Any:
    try:
        return running.wait().code
    except LaminaError as error:
        return error.kind


def further(container: Container) -> Any:
    first = Running(
        container, process("sh", "-c", "trap 'echo hup; exit 9' HUP; echo on; sleep 100 & wait")
    )
    first.until(b"on\n")
    found = [
        Running(container, process("sh", "-c", "echo $A; exit 5", env=("A=b c",))).end(),
        Running(container, process("sh", "-c", "echo 3 >&3; echo 4 >&4"), 2).end(),
        Running(container, process("none")).end()[-1],
        Running(container, Process(())).end()[-1],
        Running(container, Process(("id", "-u"), (PATH,), user="7")).end(),
        Running(container, Process(("pwd",), (PATH,), "/bin")).end(),
        Running(container, Process(("id",), (PATH,), user="nobody")).end()[-1],
    ]
    first.process.send(1)
    found.append(first.end())
    found.append(Running(container, process("id")).end())
    return found


def first_ends(container: Container) -> Any:
    first = Running(container, process("sh", "-c", "echo on; sleep 100 & wait"))
    first.until(b"on\n")
    second = Running(container, process("sh", "-c", "echo on; sleep 100"))
    second.until(b"on\n")
    first.process.send(9)
    return [first.end(), second.end()]


def not_found(container: Container) -> Any:
    return [
        Running(container, process("none")).end()[-1],
        Running(container, process("id")).end()[-1],
    ]


def terminals(container: Container) -> Any:
    sizes, masters = [], []
    for wanted in (TerminalSize(33, 22), TerminalSize(80, 40)):
        master, slave = os.openpty()
        set_size(slave, wanted)
        shell = container.start(process("sh", env=("PS1=# ",)), Terminal(slave))
        os.close(slave)

        def ask(command: str, mark: bytes, master: int = master) -> str:
            seen = b""
            os.write(master, command.encode())
            while mark not in seen:
                seen += os.read(master, 4096)
            return next(line for line in seen.decode().splitlines() if line[:1].isdigit())

        sizes.append(ask("stty size; echo do''ne\n", b"done\r\n"))
        shell.resize(TerminalSize(100, 60))
        sizes.append(ask("stty size; echo th''en\n", b"then\r\n"))
        if wanted.columns == 80:
            os.write(master, b"exit 7\n")
            sizes.append(str(shell.wait().code))
        masters.append(master)
    for master in masters:
        os.close(master)
    return sizes


def nothing(_: Container) -> Any:
    return []


SCENARIOS = {
    "further": further,
    "first ends": first_ends,
    "not found": not_found,
    "terminals": terminals,
    "nothing": nothing,
}


def main() -> None:
    name, runtime, folder, rootfs = sys.argv[1:]
    private_namespace()
    hide_hybrid_hierarchy()
    runner = OciRunner(find_runtime(runtime), folder)
    before = len(os.listdir("/proc/self/fd"))
    with runner.container(Sandbox(rootfs)) as container:
        answer = SCENARIOS[name](container)
    left = [
        *glob.glob(f"/sys/fs/cgroup/**/*-{os.getpid()}-*", recursive=True),
        *(entry for entry in os.listdir(folder) if entry.startswith("lamina")),
        *glob.glob(os.path.join(folder, "runtime", "*")),
        *(thread.name for thread in threading.enumerate()[1:] if thread.name == "container"),
        *(["descriptors"] if len(os.listdir("/proc/self/fd")) != before else []),
    ]
    try:
        Running(container, process("id"))
    except LaminaError as error:
        left += [] if error.kind == "not found" else [error.kind]
    json.dump({"answer": answer, "left": left}, sys.stdout)


if __name__ == "__main__":
    main()

"""A command with a terminal."""

from __future__ import annotations

import os
import subprocess
import termios


class Terminal:
    """A command with a terminal of its own."""

    def __init__(self, command: list[str]) -> None:
        self.master, slave = os.openpty()
        self.slave = slave
        self.seen = ""
        self.attributes = termios.tcgetattr(slave)
        self._process = subprocess.Popen(
            command, stdin=slave, stdout=slave, stderr=slave, start_new_session=True
        )

    def until(self, text: str) -> str:
        """What comes up to a text, from the last one on."""
        while text not in self.seen:
            try:
                self.seen += os.read(self.master, 4096).decode(errors="replace")
            except BlockingIOError:
                continue
        before, _, self.seen = self.seen.partition(text)
        return before

    def say(self, line: str) -> None:
        os.write(self.master, f"{line}\n".encode())

    def ask(self, command: str) -> str:
        """The output of a command of the shell."""
        self.say(f"echo beg''in; {command}; echo en''d")
        self.until("begin\r\n")
        return self.until("end\r\n")

    def end(self) -> int:
        code = self._process.wait(60)
        os.set_blocking(self.master, False)
        try:
            while data := os.read(self.master, 4096):
                self.seen += data.decode(errors="replace")
        except OSError:
            pass
        return code

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.terminate()
            self._process.wait(30)
        os.close(self.master)
        os.close(self.slave)

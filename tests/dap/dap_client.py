"""A client of the Debug Adapter Protocol."""

from __future__ import annotations

import json
import queue
import subprocess
import threading
from typing import Any


class DapClient:
    """Starts an adapter. Use it in a `with` block. Events are kept until they are waited for."""

    def __init__(self, command: list[str]) -> None:
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        self._messages: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._kept: list[dict[str, Any]] = []
        self._sequence = 0
        self.output = ""
        self._threads = [
            threading.Thread(target=self._read, daemon=True),
            threading.Thread(target=self._drain, daemon=True),
        ]
        self.errors = b""
        for thread in self._threads:
            thread.start()

    def send(self, command: str, **arguments: Any) -> int:
        self._sequence += 1
        message = {"seq": self._sequence, "type": "request", "command": command}
        self.write(json.dumps({**message, "arguments": arguments}).encode())
        return self._sequence

    def write(self, data: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(b"Content-Length: %d\r\n\r\n%s" % (len(data), data))
        self.process.stdin.flush()

    def answer(self, number: int) -> dict[str, Any]:
        return self._wait(lambda message: message.get("request_seq") == number)

    def request(self, command: str, **arguments: Any) -> dict[str, Any]:
        """The body of the response. Fails if the adapter refuses."""
        answer = self.answer(self.send(command, **arguments))
        assert answer["success"], answer
        body: dict[str, Any] = answer["body"]
        return body

    def refused(self, command: str, **arguments: Any) -> str:
        answer = self.answer(self.send(command, **arguments))
        assert not answer["success"], answer
        reason: str = answer["message"]
        return reason

    def event(self, name: str) -> dict[str, Any]:
        body: dict[str, Any] = self._wait(lambda message: message.get("event") == name)["body"]
        return body

    def end(self) -> int:
        """The exit status."""
        assert self.process.stdin is not None
        code = self.process.wait(60)
        self.process.stdin.close()
        for thread in self._threads:
            thread.join(30)
        return code

    def _wait(self, wanted: Any) -> dict[str, Any]:
        for message in self._kept:
            if wanted(message):
                self._kept.remove(message)
                return message
        while (received := self._messages.get(timeout=60)) is not None:
            if wanted(received):
                return received
            self._kept.append(received)
        raise AssertionError((self._kept, self.errors))

    def _read(self) -> None:
        stream = self.process.stdout
        assert stream is not None
        while header := stream.readline():
            stream.readline()
            message = json.loads(stream.read(int(header.partition(b":")[2])))
            if message.get("event") == "output":
                self.output += message["body"]["output"]
            else:
                self._messages.put(message)
        self._messages.put(None)

    def _drain(self) -> None:
        assert self.process.stderr is not None
        while data := self.process.stderr.read(4096):
            self.errors += data

    def __enter__(self) -> DapClient:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            self.end()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()

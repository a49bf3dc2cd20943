"""A running `lamina ui`, and requests to it."""

from __future__ import annotations

import http.client
import json
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

if TYPE_CHECKING:
    import subprocess


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class UiServer:
    """Requests to a server process, with its session after `login`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.login_url = self._next_url()
        parts = urlsplit(self.login_url)
        self.origin = f"{parts.scheme}://{parts.netloc}"
        self.host, self.port = parts.hostname or "", parts.port or 0
        self.cookie = ""

    def login(self) -> None:
        answer = self.request(self.use_login())
        assert answer.status == 303
        self.cookie = answer.headers["set-cookie"].split(";")[0]
        self.renew_login()

    def use_login(self) -> str:
        """The path with the current token. Call `renew_login` when it was used."""
        return self.login_url.removeprefix(self.origin)

    def renew_login(self) -> None:
        """Read the next token, which the process prints after one was used."""
        self.login_url = self._next_url()

    def _next_url(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert ": " in line, line
        return line.split(": ")[1].split()[0]

    def request(
        self, path: str, method: str = "GET", headers: dict[str, str] | None = None
    ) -> Answer:
        """A request with the session, or with other headers."""
        sent = {"Cookie": self.cookie} if self.cookie else {}
        connection = http.client.HTTPConnection(self.host, self.port, timeout=30)
        try:
            connection.request(method, path, headers={**sent, **(headers or {})})
            response = connection.getresponse()
            names = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, names, response.read())
        finally:
            connection.close()

    def get(self, path: str) -> Any:
        answer = self.request(path)
        assert answer.status == 200, answer.body
        return answer.json

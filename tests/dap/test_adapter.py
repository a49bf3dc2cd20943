"""Debug sessions of `lamina dap`, with and without a daemon."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.daemon_process import DaemonProcess
from tests.dap.dap_client import DapClient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TEXT = """
FROM base AS tools
RUN echo tool > /tool
FROM base
ARG WORD=spoken
ENV WORD=$WORD
WORKDIR /src
RUN echo one > one
COPY --from=tools /tool /tool
RUN echo two > two && cat /tool
"""
FIRST = 4  # the lines before this text


@pytest.fixture(params=["embedded", "daemon"])
def adapter(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[list[str]]:
    """The command of an adapter."""
    command = [sys.executable, "-m", "lamina", "dap"]
    if request.param == "embedded":
        yield [*command, f"--root={tmp_path / 'store'}"]
        return
    with DaemonProcess(tmp_path / "daemon") as daemon:
        yield [*command, f"--builder={daemon.address}"]


@pytest.fixture
def embedded(tmp_path: Path) -> list[str]:
    return [sys.executable, "-m", "lamina", "dap", f"--root={tmp_path / 'store'}"]


def launch(client: DapClient, folder: Path, *lines: int, **arguments: Any) -> list[dict[str, Any]]:
    """Start a session. Returns the breakpoints."""
    client.request("initialize", adapterID="lamina")
    client.event("initialized")
    client.request(
        "launch", contextPath=str(folder), dockerfile=str(folder / "Dockerfile"), **arguments
    )
    found = client.request(
        "setBreakpoints",
        source={"path": str(folder / "Dockerfile")},
        breakpoints=[{"line": line} for line in lines],
    )
    client.request("configurationDone")
    points: list[dict[str, Any]] = found["breakpoints"]
    return points


def line_of(folder: Path, text: str) -> int:
    lines = (folder / "Dockerfile").read_text().splitlines()
    return next(number for number, line in enumerate(lines, 1) if text in line)


def frames(client: DapClient) -> list[str]:
    stack = client.request("stackTrace", threadId=1)["stackFrames"]
    return [frame["name"].partition("] ")[2] for frame in stack]


def variables(client: DapClient, scope: str) -> dict[str, dict[str, Any]]:
    frame = client.request("stackTrace", threadId=1)["stackFrames"][0]["id"]
    scopes = client.request("scopes", frameId=frame)["scopes"]
    reference = next(each["variablesReference"] for each in scopes if each["name"] == scope)
    return children(client, reference)


def children(client: DapClient, reference: int) -> dict[str, dict[str, Any]]:
    found = client.request("variables", variablesReference=reference)["variables"]
    return {each["name"]: each for each in found}


def test_a_session(adapter: list[str], context: Callable[..., Path]) -> None:
    folder = context(TEXT)
    with DapClient(adapter) as client:
        point, beyond = launch(client, folder, line_of(folder, "COPY --from=tools"), 99)
        assert not point["verified"]
        changed = [client.event("breakpoint")["breakpoint"] for _ in range(2)]
        assert [each["verified"] for each in changed] == [True, False]
        assert beyond["id"] == changed[1]["id"]
        assert client.event("stopped")["reason"] == "breakpoint"
        assert client.request("threads")["threads"] == [{"id": 1, "name": "build"}]
        assert frames(client) == ["COPY --from=tools /tool /tool"]
        files = children(client, variables(client, "Files")["src"]["variablesReference"])
        assert files["one"]["value"] == "4 bytes, 0644"

        client.request("stepIn", threadId=1)
        client.event("stopped")
        assert frames(client)[-1] == "COPY --from=tools /tool /tool"
        client.request("stepOut", threadId=1)
        client.event("stopped")
        assert frames(client) == ["RUN echo two > two && cat /tool"]
        assert variables(client, "Environment")["WORD"]["value"] == "spoken"
        assert variables(client, "Step")["directory"]["value"] == "/src"
        configuration = variables(client, "Image configuration")
        inner = children(client, configuration["config"]["variablesReference"])
        assert inner["WorkingDir"]["value"] == "/src"

        command = "cat one /tool; pwd; echo $WORD; echo > /src/lost; exit 3"
        shown = client.request("evaluate", expression=command, frameId=1)["result"]
        assert shown == "one\ntool\n/src\nspoken\n[exit code 3]"
        again = client.request("evaluate", expression="ls /src", frameId=1)["result"]
        assert again == "one\n"
        client.request("continue", threadId=1)
        assert client.event("exited") == {"exitCode": 0}
        client.event("terminated")
        assert client.end() == 0
        assert "RUN echo two" in client.output
        assert "tool\n" in client.output


def test_a_step_that_fails(adapter: list[str], context: Callable[..., Path]) -> None:
    folder = context("FROM base\nARG MARK\nRUN echo $MARK > /left; exit 7\n")
    with DapClient(adapter) as client:
        launch(client, folder, stopOnEntry=True, buildArgs={"MARK": "mark"})
        assert client.event("stopped")["reason"] == "entry"
        client.request("continue", threadId=1)
        stopped = client.event("stopped")
        assert stopped["reason"] == "exception"
        assert "exit code: 7" in stopped["text"]
        assert "exit code: 7" in variables(client, "Step")["error"]["value"]
        assert variables(client, "Build arguments")["MARK"]["value"] == "mark"
        shown = client.request("evaluate", expression="cat /left", frameId=1)["result"]
        assert shown == "mark\n"
        client.request("continue", threadId=1)
        assert client.event("exited") == {"exitCode": 1}
        assert client.end() == 1
        assert "exit code: 7" in client.output


def test_requests_that_make_no_sense(embedded: list[str], context: Callable[..., Path]) -> None:
    folder = context("FROM base\nRUN echo > /a\n")
    with DapClient(embedded) as client:
        assert client.refused("fly") == "fly is not supported"
        assert client.refused("launch", contextPath=3) == "contextPath is not a text"
        assert client.refused("launch", flags="x") == "flags is not an array of texts"
        assert client.refused("continue", threadId=1) == "the build is not paused"
        launch(client, folder, stopOnEntry=True)
        client.event("stopped")
        assert "launched already" in client.refused("launch", contextPath=str(folder))
        assert "no stack frame" in client.refused("scopes", frameId=99)
        assert "malformed arguments" in client.refused("scopes")
        assert "no variables" in client.refused("variables", variablesReference=99)
        other = client.request(
            "setBreakpoints", source={"path": "/other"}, breakpoints=[{"line": 1}]
        )
        assert other["breakpoints"][0]["verified"] is False
        client.request("disconnect")
        assert client.end() == 1
        assert "Traceback" not in client.errors.decode()


@pytest.mark.parametrize(
    "data", [b"Content-Length: 5\r\n\r\nhello", b"Content-Length: 99999999\r\n\r\n", b"\xff" * 99]
)
def test_what_is_no_message(embedded: list[str], data: bytes) -> None:
    done = subprocess.run(embedded, input=data, capture_output=True, timeout=60)
    assert done.returncode == 0
    assert b"Traceback" not in done.stderr


def test_a_client_that_disappears_in_a_step(
    embedded: list[str], context: Callable[..., Path]
) -> None:
    folder = context("FROM base\nRUN echo begun; sleep 1234\n")
    with DapClient(embedded) as client:
        launch(client, folder, stopOnEntry=True)
        client.event("stopped")
        client.request("continue", threadId=1)
        while "begun" not in client.output:
            assert client.process.poll() is None
        assert client.process.stdin is not None
        client.process.stdin.close()
        client.process.wait(60)
    running = subprocess.run(["pgrep", "-f", "^sleep 1234$"], capture_output=True)
    assert running.stdout == b""


def test_a_build_that_cannot_start(embedded: list[str], tmp_path: Path) -> None:
    with DapClient(embedded) as client:
        client.request("initialize")
        client.request("launch", contextPath=str(tmp_path / "nothing"))
        client.request("configurationDone")
        assert client.event("exited") == {"exitCode": 1}
        assert client.end() == 1
        assert "ERROR: " in client.output


SCRIPT = Path(__file__).parent / "session.js"


def test_the_client_of_vs_code(
    embedded: list[str], context: Callable[..., Path], tmp_path: Path
) -> None:
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed")
    installed = subprocess.run(
        [
            *(npm, "install", "--no-audit", "--no-fund", "--prefix", str(tmp_path / "js")),
            "@vscode/debugadapter-testsupport@1",
        ],
        capture_output=True,
    )
    if installed.returncode:
        pytest.skip("the npm registry cannot be reached")
    folder = context(TEXT)
    line = line_of(folder, "RUN echo two")
    done = subprocess.run(
        ["node", str(SCRIPT), str(tmp_path / "js"), str(folder), str(line), *embedded],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "one tool"

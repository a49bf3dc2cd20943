"""The command as a process: exit statuses, streams, signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from lamina.base.errors import Cancelled
from lamina.cli import main as cli
from lamina.cli.interrupt import interruptible

if TYPE_CHECKING:
    from pathlib import Path


def lamina(*words: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "lamina.cli.main", *words], input=stdin, capture_output=True
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["biuld"], b'unknown command "biuld", did you mean "build"?'),
        (["build"], b'"lamina build" takes exactly 1 argument'),
        (["build", "--tga=x", "."], b'unknown flag: --tga, did you mean "--tag"?'),
        (["build", "/no/such"], b'path "/no/such" not found'),
        (["build", "-t", "UPPER", "."], b"repository name must be lowercase"),
        (["build", "--progress=tty", "-q", "."], b"cannot be combined"),
        (["build", "--platform=linux//x", "."], b"invalid component of"),
        (["build", "-f", "-", "-"], b"cannot be both"),
        (["build", "-"], b"standard input is empty"),
        (["--nonsense"], b"unknown flag: --nonsense"),
        (["help", "biuld"], b'did you mean "build"?'),
        (["completion", "csh"], b"no completion script for"),
        (["prune", "--filter", "unitl=24h"], b'did you mean "until"?'),
    ],
)
def test_mistakes_are_one_message_and_status_1(words: list[str], message: bytes) -> None:
    done = lamina(*words)
    assert done.returncode == 1
    assert done.stdout == b""
    assert message in done.stderr
    assert b"Traceback" not in done.stderr
    assert done.stderr.startswith(b"ERROR: ")


def test_a_mistake_in_a_run_has_the_status_of_docker_run() -> None:
    done = lamina("run", "-v", "x", "image")
    assert done.returncode == 125
    assert b"use the form" in done.stderr and b"Traceback" not in done.stderr


def test_help_and_version() -> None:
    overview = lamina("--help")
    assert overview.returncode == 0
    assert b"  build " in overview.stdout
    assert lamina().stdout == overview.stdout
    assert lamina("help", "build").stdout == lamina("build", "-h").stdout
    assert b"--build-arg NAME[=VALUE]" in lamina("build", "--help").stdout
    assert lamina("version").stdout.startswith(b"lamina 0.")
    assert lamina("--version").stdout == lamina("version").stdout


def test_a_reader_that_closes_the_pipe_early() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "lamina.cli.main", "build", "--help"],
        stdout=writer,
        stderr=subprocess.PIPE,
    )
    os.close(writer)
    assert done.returncode == 1
    assert done.stderr == b""


def test_a_command_imports_only_its_own_modules() -> None:
    code = (
        "import sys; from lamina.cli.main import main; main(['version']);"
        "print(*sorted(set(sys.modules) & {'argparse', 'json', 're', 'subprocess', 'tarfile',"
        " 'typing', 'dataclasses', 'lamina.cli.build_command', 'http.client', 'ssl'}),"
        "file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True)
    if done.returncode:  # an editable install is found through site only
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "lamina.cli.build_command" not in done.stderr
    assert "argparse" not in done.stderr
    assert "json" not in done.stderr


def test_the_third_signal_ends_the_process_at_once(tmp_path: Path) -> None:
    code = (
        "import time\n"
        "from lamina.cli.interrupt import interruptible\n"
        "with interruptible() as interruption:\n"
        "    print('ready', flush=True)\n"
        "    interruption.cancel.wait(30)\n"
        "    print(interruption.signal, interruption.cancel.cancelled, flush=True)\n"
        "    time.sleep(30)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGTERM)
    assert process.stdout.readline() == b"15 True\n"
    process.send_signal(signal.SIGINT)
    time.sleep(0.2)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 130
    process.stdout.close()


def test_signals_are_given_back() -> None:
    before = signal.getsignal(signal.SIGINT)
    threads = len(os.listdir("/proc/self/task"))
    descriptors = len(os.listdir("/proc/self/fd"))
    with interruptible() as interruption:
        os.kill(os.getpid(), signal.SIGINT)
        assert interruption.cancel.wait(10)
        with pytest.raises(Cancelled, match="interrupted"):
            interruption.cancel.check()
    assert interruption.signal == signal.SIGINT
    assert signal.getsignal(signal.SIGINT) is before
    assert len(os.listdir("/proc/self/fd")) == descriptors
    deadline = time.monotonic() + 5
    while len(os.listdir("/proc/self/task")) > threads and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(os.listdir("/proc/self/task")) <= threads


def test_unexpected_failures_are_short(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(name: str) -> object:
        raise ZeroDivisionError("oops")

    monkeypatch.delenv("LAMINA_DEBUG", raising=False)
    monkeypatch.setattr(cli, "_handler", broken)
    assert cli.main(["version"]) == 1
    assert capsys.readouterr().err.startswith("ERROR: internal error: ZeroDivisionError: oops\n")

    def interrupted(name: str) -> object:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_handler", interrupted)
    assert cli.main(["version"]) == 130


def test_output_before_a_failure_is_not_lost() -> None:
    code = (
        "from lamina.base.errors import NotFound\n"
        "from lamina.cli import main\n"
        "def broken(parsed):\n"
        "    print('one line')\n"
        "    raise NotFound('the second')\n"
        "main._handler = lambda name: broken\n"
        "import sys\n"
        "sys.argv = ['lamina', 'version']\n"
        "main.entry()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "one line\n")
    assert done.stderr.startswith("ERROR: ")


def test_a_process_without_standard_output() -> None:
    def closed(word: str) -> subprocess.CompletedProcess[bytes]:
        command = f'exec "$0" -m lamina {word} >&-'
        return subprocess.run(["sh", "-c", command, sys.executable], capture_output=True)

    assert closed("version").returncode == 0
    assert closed("nonsense").returncode == 1
    assert b"unknown command" in closed("nonsense").stderr

"""Containers that a client's frontend runs: BuildKit's `NewContainer` and `ExecProcess`."""

from __future__ import annotations

import glob
import os
import socket
import subprocess
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from lamina.api import container as api
from lamina.api import control, gateway
from lamina.api.message import unary
from lamina.client.contract import SecretSpec, SessionProviders, SshSpec
from lamina.client.providers import EmbeddedSession
from lamina.llb.op import (
    CacheOpt,
    ExecMeta,
    HostIP,
    LLBPlatform,
    Mount,
    MountType,
    NetMode,
    SecretEnv,
    SecretOpt,
    SecurityMode,
    SSHOpt,
)
from lamina.session.opening import new_session_id, open_session
from lamina.session.services import health_service, session_services
from lamina.wire.contract import Code, StatusError
from lamina.wire.protobuf import encode
from tests.daemon.gateway_client import GatewayClient, gateway_build
from tests.daemon_process import DaemonProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from lamina.wire.client import GrpcChannel

TEXT = """
FROM base AS made
RUN mkdir -p /d/e && echo file > /d/file && ln -s file /d/relative && ln -s /d/file /d/absolute \
    && ln -s ../../../../etc/hostname /d/out && mkfifo /d/pipe

FROM base AS slow
RUN echo before
RUN echo on; sleep 1000

FROM scratch AS other
COPY other /sub/other
"""


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    folder = tmp_path_factory.mktemp("daemon")
    allowed = ("--allow-insecure-entitlement", "security.insecure")
    with DaemonProcess(folder / "store", *allowed) as daemon:
        yield daemon
        assert daemon.stop() == 0


@pytest.fixture
def channel(daemon: DaemonProcess) -> Iterator[GrpcChannel]:
    with daemon.dial() as channel:
        yield channel
    wait_until_nothing_is_left(daemon)


@pytest.fixture
def folder(context: Callable[..., Path]) -> Path:
    return context(TEXT, {"other": "other"})


@contextmanager
def refused(code: Code, said: str) -> Iterator[None]:
    with pytest.raises(StatusError) as caught:
        yield
    assert caught.value.code is code
    assert said in caught.value.message


def left(daemon: DaemonProcess) -> list[str]:
    pid = daemon.process.pid
    listed = subprocess.run(["ps", "--ppid", str(pid), "-o", "comm="], capture_output=True).stdout
    with open(f"/proc/{pid}/mountinfo") as file:
        mounts = [line.split()[4] for line in file]
    return [
        *listed.decode().split(),
        *glob.glob(f"/sys/fs/cgroup/**/*-{pid}-*", recursive=True),
        *(path for path in mounts if "/m-" in path),
    ]


def wait_until_nothing_is_left(daemon: DaemonProcess) -> None:
    deadline = time.monotonic() + 20
    while found := left(daemon):
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


def root(client: GatewayClient, target: str = "made") -> Mount:
    return Mount(dest="/", result_id=client.target(target).id)


def test_processes_of_a_container(channel: GrpcChannel, folder: Path) -> None:
    with gateway_build(channel, folder, "several") as client, client.processes() as processes:
        container = client.container(root(client))
        first = processes.start(container, "sh", "-c", "cat; exit 3", fds=(0, 1))
        second = processes.start(
            container, "sh", "-c", "echo a; echo b >&2; echo c >&4", fds=(1, 2, 4)
        )
        assert second.wait() == 0
        assert second.outputs == {1: b"a\n", 2: b"b\n", 4: b"c\n"}
        assert second.order[0] == "started"
        assert second.order[-1] == "done"
        assert second.order.count("exit") == 1
        third = processes.start(container, "sh", "-c", "echo new > /d/new; exit 7")
        assert (third.wait(), third.error) == (7, "exit code: 7")
        assert third.exit is not None
        assert third.exit.error is not None
        assert third.exit.error.details[0].type_url.endswith("gatewayapi.ExitMessage+json")
        assert client.read_file(container, "/d/new") == b"new\n"
        first.write(b"x" * 200_000)
        first.write(b"end")
        first.finish_input()
        assert first.wait() == 3
        assert first.outputs == {1: b"x" * 200_000 + b"end"}
        with refused(Code.UNKNOWN, "exit code: 7"):  # the first failure, as with BuildKit
            client.release(container)
        with refused(Code.UNKNOWN, f"container details for {container} not found"):
            client.release(container)
        again = client.container(root(client))
        assert "new" not in client.read_dir(again, "/d")
        client.release(again)


def test_the_first_process_ends_the_others(channel: GrpcChannel, folder: Path) -> None:
    with gateway_build(channel, folder, "first") as client, client.processes() as processes:
        container = client.container(root(client))
        first = processes.start(container, "sh", "-c", "cat; exit 0", fds=(0,))
        second = processes.start(container, "sh", "-c", "echo on; sleep 100")
        second.until(b"on\n")
        first.finish_input()
        assert first.wait() == 0
        assert (second.wait(), second.error) == (137, "exit code: 137")
        late = processes.start(container, "true")
        assert (late.wait(), late.error) == (255, "the container has stopped")


def test_a_terminal(channel: GrpcChannel, folder: Path) -> None:
    with gateway_build(channel, folder, "tty") as client, client.processes() as processes:
        container = client.container(root(client))
        for _ in range(2):
            shell = processes.start(container, "sh", fds=(0, 1, 2), tty=True)
            shell.resize(81, 43)
            shell.write(b"stty size; tty; echo $TERM; echo do''ne\n")
            shell.until(b"done\r\n")
            assert b"43 81\r\n/dev/pts/" in shell.outputs[1]
            assert b"\r\nxterm\r\n" in shell.outputs[1]
            shell.resize(100, 60)
            shell.write(b"stty size; echo th''en\n")
            shell.until(b"then\r\n")
            assert b"60 100\r\n" in shell.outputs[1]
            shell.write(b"sleep 100 & trap 'exit 9' TERM; echo set''up; wait\n")
            shell.until(b"setup\r\n")
            if not _:
                kept = shell
                continue
            shell.signal("TERM")
            assert (shell.wait(), shell.error) == (9, "exit code: 9")
        kept.signal("TERM")
        assert kept.wait() == 9


def test_release_ends_processes(channel: GrpcChannel, folder: Path) -> None:
    with gateway_build(channel, folder, "release") as client, client.processes() as processes:
        container = client.container(root(client))
        first = processes.start(container, "sleep", "100", fds=(0,))
        second = processes.start(container, "sh", "-c", "echo on; sleep 100")
        second.until(b"on\n")
        with refused(Code.CANCELLED, "exit code: 137: context canceled"):
            client.release(container)
        assert (first.wait(), first.error) == (137, "exit code: 137: context canceled")
        assert (second.wait(), second.error) == (137, "exit code: 137: context canceled")


def test_release_of_a_container_that_starts(channel: GrpcChannel, folder: Path) -> None:
    with gateway_build(channel, folder, "early") as client, client.processes() as processes:
        container = client.container(root(client))
        started = [processes.start(container, "sleep", "100") for _ in range(2)]
        for process in started:
            assert process.next() is not None
            assert process.order == ["started"]
        with refused(Code.CANCELLED, "context canceled"):
            client.release(container)
        for process in started:
            assert process.wait() == 137
            assert process.error == "exit code: 137: context canceled"


def test_a_killed_first_process(channel: GrpcChannel, folder: Path) -> None:
    with gateway_build(channel, folder, "kill") as client, client.processes() as processes:
        container = client.container(root(client))
        first = processes.start(container, "cat", fds=(0, 1))
        first.write(b"on\n")
        first.until(b"on\n")
        first.signal("KILL")
        assert (first.wait(), first.error) == (137, "exit code: 137")


def test_mounts_and_their_files(channel: GrpcChannel, folder: Path, tmp_path: Path) -> None:
    agent = socket.socket(socket.AF_UNIX)
    agent.bind(str(tmp_path / "agent"))
    agent.listen()
    providers = SessionProviders(
        (SecretSpec("s", str(tmp_path / "secret")),),
        (SshSpec("default", (str(tmp_path / "agent"),)),),
    )
    (tmp_path / "secret").write_text("hidden")
    with (
        agent,
        gateway_build(channel, folder, "mounts", providers=providers) as client,
        client.processes() as processes,
    ):
        other = client.target("other").id
        container = client.container(
            root(client),
            Mount(dest="/ro", result_id=other, readonly=True),
            Mount(dest="/rw", result_id=other),
            Mount(dest="/sub", result_id=other, selector="/sub"),
            Mount(dest="/cache", mount_type=MountType.CACHE, cache=CacheOpt("kept")),
            Mount(dest="/tmpfs", mount_type=MountType.TMPFS),
            Mount(dest="/s", mount_type=MountType.SECRET, secret=SecretOpt("s", mode=0o444)),
            Mount(dest="/agent", mount_type=MountType.SSH, ssh=SSHOpt(mode=0o600)),
            Mount(dest="/none", mount_type=MountType.SECRET, secret=SecretOpt("no", optional=True)),
            Mount(dest="/scratch"),
        )
        script = """
            cat /sub/other /s /ro/sub/other; test -S /agent && test ! -e /none || exit 1
            touch /ro/x 2>/dev/null && exit 2
            touch /rw/new /cache/new /tmpfs/new /scratch/new /new || exit 3
        """
        process = processes.start(container, "sh", "-c", script)
        assert (process.wait(), process.outputs[1]) == (0, b"otherhiddenother")
        assert client.read_dir(container, "/", 2) == ["new", "sub"]
        assert client.read_dir(container, "/", 3) == ["other"]
        assert client.read_file(container, "/other", 3) == b"other"
        assert client.read_dir(container, "/", 4) == ["new"]
        assert client.read_dir(container, "/", 9) == ["new"]
        assert "new" in client.read_dir(container, "/")
        with refused(Code.UNKNOWN, "mountable 8 not found"):
            client.read_dir(container, "/", 8)
        with refused(Code.UNKNOWN, "mount index 10 is out of bounds (10 available)"):
            client.read_file(container, "/x", 10)
        client.release(container)


def test_files_never_lead_out(channel: GrpcChannel, folder: Path) -> None:
    with gateway_build(channel, folder, "files") as client:
        container = client.container(root(client))
        assert client.read_file(container, "/d/absolute") == b"file\n"
        assert client.stat(container, "/d/relative").size == 5
        assert client.stat(container, "/d/absolute").linkname == "/d/file"
        with refused(Code.UNKNOWN, "open /d/out: no such file or directory"):
            client.read_file(container, "/d/out")
        with refused(Code.UNKNOWN, "read /d/pipe: not a regular file"):
            client.read_file(container, "/d/pipe")
        with refused(Code.UNKNOWN, "readdir /d/file: not a directory"):
            client.read_dir(container, "/d/file")
        with refused(Code.UNKNOWN, "can't make d relative to /"):
            client.read_dir(container, "d")
        with refused(Code.UNKNOWN, "stat /d/none: no such file or directory"):
            client.stat(container, "/d/none")
        with refused(Code.UNKNOWN, "container details for none@0 not found"):
            client.stat("none", "/d")


def test_the_environment_of_processes(channel: GrpcChannel, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("hidden")
    providers = SessionProviders((SecretSpec("s", str(tmp_path / "secret")),))
    with (
        gateway_build(channel, folder, "env", providers=providers) as client,
        client.processes() as processes,
    ):
        hosts = (HostIP("db", "10.1.2.3"), HostIP("db6", "fd00::1"))
        container = client.container(root(client), extra_hosts=hosts, hostname="own")
        first = processes.start(container, "cat", fds=(0,))
        script = "hostname; pwd; id -u; echo $S; grep db /etc/hosts; echo $PATH"
        meta = ExecMeta(("/bin/sh", "-c", script), cwd="/d", user="5")
        process = processes.start(container, meta=meta, secret_env=(SecretEnv("s", "S"),))
        assert process.wait() == 0
        expected = "own\n/d\n5\nhidden\n10.1.2.3\tdb\nfd00::1\tdb6\n"
        path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"
        assert process.outputs[1].decode() == expected + path
        first.finish_input()
        windows = client.container(root(client), platform=LLBPlatform("amd64", "windows"))
        meta = ExecMeta(("/bin/sh", "-c", "echo $PATH"))
        process = processes.start(windows, meta=meta)
        assert process.wait() == 0
        assert process.outputs[1].startswith(b"c:\\Windows\\System32;")
        offline = client.container(root(client), network=NetMode.NONE)
        process = processes.start(offline, "ls", "/sys/class/net")
        assert (process.wait(), process.outputs[1]) == (0, b"lo\n")


def test_entitlements(channel: GrpcChannel, folder: Path) -> None:
    insecure = SecurityMode.INSECURE
    caps = ("grep", "CapEff", "/proc/self/status")
    with gateway_build(channel, folder, "refused") as client, client.processes() as processes:
        container = client.container(root(client))
        process = processes.start(container, *caps, security=insecure)
        assert (process.wait(), process.error) == (255, "security.insecure is not allowed")
        process = processes.start(container, *caps, security=SecurityMode(2))
        assert (process.wait(), process.error) == (255, "invalid security mode 2")
        sandboxed = processes.start(container, *caps)
        assert sandboxed.wait() == 0
        network = client.container(root(client), network=NetMode.HOST)
        process = processes.start(network, "true")
        assert (process.wait(), process.error) == (255, "network.host is not allowed")
    granted = ("security.insecure",)
    with (
        gateway_build(channel, folder, "granted", entitlements=granted) as client,
        client.processes() as processes,
    ):
        container = client.container(root(client))
        process = processes.start(container, *caps, security=insecure)
        assert process.wait() == 0
        assert process.outputs[1] != sandboxed.outputs[1]


def test_refused_containers(channel: GrpcChannel, folder: Path) -> None:
    with gateway_build(channel, folder, "bad") as client:
        mount = root(client)
        with refused(Code.UNKNOWN, 'failed to find ref none for "/" mount'):
            client.container(Mount(dest="/", result_id="none"))
        with refused(Code.UNKNOWN, "root mount"):
            client.container(mount._replace(dest="/x"))
        with refused(Code.UNKNOWN, "invalid mount type TMPFS for /"):
            client.container(Mount(dest="/", mount_type=MountType.TMPFS))
        with refused(Code.UNKNOWN, "failed to parse IP 1.2.3"):
            client.container(mount, extra_hosts=(HostIP("a", "1.2.3"),))
        with refused(Code.UNKNOWN, "not found"):
            client.container(mount, mount._replace(dest="/y", selector="/none"))
        with refused(Code.UNKNOWN, "secret s: not found"):
            client.container(
                mount, Mount(dest="/s", mount_type=MountType.SECRET, secret=SecretOpt("s"))
            )
        with refused(Code.UNKNOWN, "has no options"):
            client.container(mount, Mount(dest="/s", mount_type=MountType.CACHE))
        name = client.container(mount)
        with refused(Code.ALREADY_EXISTS, f"Container {name} already exists"):
            client.call(
                "/moby.buildkit.v1.frontend.LLBBridge/NewContainer",
                api.NewContainerRequest(name, (mount,)),
                api.NewContainerResponse,
            )


@pytest.mark.parametrize(
    ("kind", "code", "said"),
    [
        ("resize", Code.INVALID_ARGUMENT, "invalid size of a terminal: 0 columns, 0 rows"),
        ("signal", Code.INVALID_ARGUMENT, "Unknown signal NONE"),
        ("file", Code.OUT_OF_RANGE, "fd 7 unavailable to write"),
        ("again", Code.ALREADY_EXISTS, "already exists"),
        ("unknown", Code.NOT_FOUND, 'IO for process "x" not found'),
        ("nameless", Code.INVALID_ARGUMENT, "ProcessID required"),
        ("released", Code.NOT_FOUND, "previously released or not created"),
        ("secret", Code.UNKNOWN, 'secret "none" is not known'),
        ("descriptor", Code.INVALID_ARGUMENT, "descriptors 0 to 63"),
    ],
)
def test_messages_that_make_no_sense_end_the_processes(
    channel: GrpcChannel, folder: Path, kind: str, code: Code, said: str
) -> None:
    with gateway_build(channel, folder, f"bad {kind}") as client:
        container = client.container(root(client))
        with client.processes() as processes:
            process = processes.start(container, "sh", fds=(0, 1), tty=True)
            process.write(b"echo o''n\n")
            process.until(b"on\r\n")
            match kind:
                case "resize":
                    process.resize(0, 0)
                case "signal":
                    process.signal("NONE")
                case "file":
                    process.tell(file=api.FdMessage(7, data=b"x"))
                case "again":
                    process.tell(init=api.InitMessage(container, ExecMeta(("true",))))
                case "unknown":
                    processes.send(api.ExecMessage("x", signal=api.SignalMessage("INT")))
                case "nameless":
                    processes.send(api.ExecMessage())
                case "released":
                    processes.start("none", "true")
                case "secret":
                    processes.start(container, "true", secret_env=(SecretEnv("none", "A"),))
                case "descriptor":
                    processes.start(container, "true", fds=(1, 64))
            processes.thread.join(20)
            assert processes.failure is not None
            assert processes.failure.code is code
            assert said in processes.failure.message


def test_a_client_that_vanishes(daemon: DaemonProcess, folder: Path) -> None:
    with daemon.dial() as other, gateway_build(other, folder, "gone") as client:
        container = client.container(root(client))
        with daemon.dial() as channel:
            second = GatewayClient(channel, "gone")
            with second.processes() as processes:
                process = processes.start(container, "sh", "-c", "echo on; sleep 999")
                process.until(b"on\n")
                channel.close()
        deadline = time.monotonic() + 20
        while any(name.startswith("unshare") for name in left(daemon)):
            assert time.monotonic() < deadline
            time.sleep(0.05)
    wait_until_nothing_is_left(daemon)


def test_a_build_whose_client_vanishes(daemon: DaemonProcess, folder: Path) -> None:
    channel = daemon.dial()
    client = GatewayClient(channel, "vanished")
    folders = {"context": str(folder), "dockerfile": str(folder)}
    session = EmbeddedSession(folders, SessionProviders())
    services = {**session_services(session), **health_service()}
    session_id = new_session_id()

    def solve() -> None:
        request = control.SolveRequest(ref="vanished", session=session_id)
        with suppress(Exception):
            unary(channel, control.SOLVE, request, control.SolveResponse, control.SCHEMA)

    running = False
    with suppress(StatusError), open_session(channel, services, session_id):
        thread = threading.Thread(target=solve)
        thread.start()
        container = client.container(root(client))
        with suppress(StatusError), client.processes() as processes:
            process = processes.start(container, "sh", "-c", "echo on; sleep 998")
            process.until(b"on\n")
            running = bool(left(daemon))
            channel.close()
    channel.close()
    assert running
    thread.join(20)
    assert not thread.is_alive()
    wait_until_nothing_is_left(daemon)


def test_the_end_of_a_build_ends_its_containers(daemon: DaemonProcess, folder: Path) -> None:
    with (
        daemon.dial() as channel,
        gateway_build(channel, folder, "end") as client,
        client.processes() as processes,
    ):
        container = client.container(root(client))
        process = processes.start(container, "sh", "-c", "echo on; sleep 999")
        process.until(b"on\n")
        client.give()
        assert process.wait() == 137
    wait_until_nothing_is_left(daemon)
    assert os.path.exists(f"/proc/{daemon.process.pid}")


@pytest.mark.parametrize("kind", ["solve", "evaluate"])
def test_a_step_ends_with_the_call_that_needs_it(
    channel: GrpcChannel, daemon: DaemonProcess, folder: Path, kind: str
) -> None:
    with gateway_build(channel, folder, f"cancelled {kind}") as client:
        frontend = gateway.SolveRequest(
            frontend="dockerfile.v0",
            frontend_opt=(("target", "slow"),),
            allow_result_return=True,
            allow_result_array_ref=True,
            evaluate=kind == "solve",
        )
        method, request = gateway.SOLVE, encode(frontend, gateway.SCHEMA)
        if kind == "evaluate":
            evaluate = gateway.EvaluateRequest(client.target("slow").id)
            method, request = gateway.EVALUATE, encode(evaluate, gateway.SCHEMA)
        with channel.open(method, client.metadata) as call:
            call.send(request)
            call.finish_sending()
            deadline = time.monotonic() + 20
            while not runs("sleep 1000"):
                assert time.monotonic() < deadline
                time.sleep(0.02)
            call.cancel()
        wait_until_nothing_is_left(daemon)
        container = client.container(root(client))  # the build goes on
        client.release(container)


def runs(command: str) -> bool:
    listed = subprocess.run(["ps", "-eo", "args="], capture_output=True, check=True).stdout
    return command in listed.decode().splitlines()

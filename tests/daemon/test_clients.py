"""Several clients of one daemon: what they share, and isolation."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lamina.api import control, gateway
from lamina.api.message import unary
from lamina.client.contract import BuildRequest, ContextSpec, OutputSpec
from lamina.client.remote import open_remote
from lamina.llb.op import NO_INPUT, Definition, FileAction, FileOp, MkDirAction, Op, SourceOp
from lamina.llb.state import Vertex, marshal
from lamina.system.cancel import Cancellation
from lamina.wire.contract import Code, StatusError, call_unary
from lamina.wire.protobuf import encode
from tests.commands import RemoteLamina
from tests.daemon_process import DaemonProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lamina.base.events import Event


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[DaemonProcess]:
    with DaemonProcess(tmp_path / "store") as daemon:
        yield daemon


@pytest.fixture
def client(daemon: DaemonProcess, tmp_path: Path) -> RemoteLamina:
    return RemoteLamina(tmp_path, daemon.address)


class Watched:
    """A client process whose progress is read up to some text."""

    def __init__(self, client: RemoteLamina, folder: Path, *args: str) -> None:
        self.process = subprocess.Popen(
            client.command("build", "--progress=plain", *args, str(folder)),
            env=client.environment(),
            stderr=subprocess.PIPE,
            text=True,
        )
        self.log = ""

    def until(self, text: str) -> None:
        assert self.process.stderr is not None
        while text not in self.log:
            line = self.process.stderr.readline()
            assert line, self.log
            self.log += line

    def end(self) -> int:
        """Read to the end. Returns the exit status."""
        assert self.process.stderr is not None
        self.log += self.process.stderr.read()
        return self.process.wait(60)

    def __enter__(self) -> Watched:
        return self

    def __exit__(self, *exception: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        assert self.process.stderr is not None
        self.process.stderr.close()


def running(word: str) -> bool:
    """Whether a process with a word on its command line is running."""
    listed = subprocess.run(["ps", "axo", "args"], capture_output=True, text=True, check=True)
    return any(word in line for line in listed.stdout.splitlines())


def gone(word: str) -> bool:
    """Whether it ends soon."""
    deadline = time.monotonic() + 20
    while running(word):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


SLOW = "RUN --mount=type=cache,target=/c echo run >> /c/log; echo begun; sleep 2; cp /c/log /log\n"


def test_a_step_of_two_builds_runs_once(
    client: RemoteLamina, context: Callable[..., Path], tmp_path: Path
) -> None:
    folder = context(SLOW)
    one, two = ("-o", f"{tmp_path}/one"), ("-o", f"{tmp_path}/two")
    with Watched(client, folder, *one) as first, Watched(client, folder, *two) as second:
        # Both get the output of the only step, whichever of them started it.
        first.until("begun")
        second.until("begun")
        assert (first.end(), second.end()) == (0, 0), first.log + second.log
    assert (tmp_path / "one/log").read_text() == "run\n"
    assert (tmp_path / "two/log").read_text() == "run\n"


def test_a_client_that_joins_late_gets_all_events_of_a_step(
    client: RemoteLamina, context: Callable[..., Path]
) -> None:
    folder = context(SLOW.replace("sleep 2", "sleep 8"))
    said = " begun\n"  # by the step, not in its name
    with Watched(client, folder) as first:
        first.until(said)
        with Watched(client, folder) as second:
            second.until(said)
            assert first.process.poll() is None
            assert (first.end(), second.end()) == (0, 0), first.log + second.log
            assert second.log.count(said) == 1


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_step_runs_as_long_as_one_build_waits_for_it(
    client: RemoteLamina, context: Callable[..., Path], how: signal.Signals
) -> None:
    length = f"1{os.getpid()}.{how:03}"  # distinguishes this step's process from all others
    folder = context(f"RUN echo begun; sleep {length}\n")
    with Watched(client, folder) as first, Watched(client, folder) as second:
        first.until("begun")
        second.until("begun")
        first.process.send_signal(how)
        assert first.end() in (130, -signal.SIGKILL)
        time.sleep(0.5)
        assert running(f"sleep {length}")
        assert second.process.poll() is None
        second.process.send_signal(how)
        assert second.end() in (130, -signal.SIGKILL)
        assert gone(f"sleep {length}")
    client.build(context("RUN echo the daemon goes on\n"))


def test_one_that_is_cancelled_leaves_the_other_its_result(
    client: RemoteLamina, context: Callable[..., Path], tmp_path: Path
) -> None:
    folder = context(SLOW.replace("sleep 2", "sleep 8"))  # on a busy machine too
    with Watched(client, folder) as first, Watched(client, folder, "-o", f"{tmp_path}/o") as second:
        first.until("begun")
        second.until("begun")
        first.process.send_signal(signal.SIGINT)
        assert first.end() == 130
        assert second.end() == 0, second.log
    assert (tmp_path / "o/log").read_text() == "run\n"


def test_killed_while_it_sends_its_folder(
    client: RemoteLamina, context: Callable[..., Path], tmp_path: Path
) -> None:
    folder = context("FROM scratch\nCOPY big /\n")
    with (folder / "big").open("wb") as file:
        for _ in range(200):
            file.write(os.urandom(1 << 20))
    with Watched(client, folder) as build:
        build.until("load build context")
        build.process.kill()
        build.process.wait()
    (folder / "big").write_text("small")
    client.build(folder, "-o", str(tmp_path / "out"))
    assert (tmp_path / "out/big").read_text() == "small"


def test_a_session_that_never_answers(
    daemon: DaemonProcess, client: RemoteLamina, context: Callable[..., Path]
) -> None:
    from lamina.api.session import KEY_ID, KEY_METHOD

    with daemon.dial() as channel:
        metadata = ((KEY_ID, "mute"), (KEY_METHOD, "/moby.filesync.v1.FileSync/DiffCopy"))
        with channel.open(control.SESSION, metadata) as tunnel:
            tunnel.header()
            request = control.SolveRequest("r", session="mute", frontend="dockerfile.v0")
            cancel = Cancellation()
            timer = threading.Timer(2, cancel.cancel)
            timer.start()
            with pytest.raises(StatusError) as ended:
                unary(
                    channel,
                    control.SOLVE,
                    request,
                    control.SolveResponse,
                    control.SCHEMA,
                    cancel=cancel,
                )
            timer.join()
            assert ended.value.code is Code.CANCELLED
    client.build(context("RUN true\n"))


def test_a_missing_session_fails_only_builds_that_need_it(daemon: DaemonProcess) -> None:
    files = FileOp((FileAction(NO_INPUT, NO_INPUT, 0, mkdir=MkDirAction("/a", 0o755)),))
    alone = marshal(Vertex(Op(file=files)).output())
    local = marshal(Vertex(Op(source=SourceOp("local://context"))).output())
    requests = [
        control.SolveRequest("r1", frontend="dockerfile.v0"),
        control.SolveRequest("r2", definition=local),
        control.SolveRequest("r3", definition=alone, exporters=(control.Exporter("local"),)),
    ]
    with daemon.dial() as channel:

        def solve(request: control.SolveRequest) -> None:
            request = request._replace(session="nowhere")
            unary(channel, control.SOLVE, request, control.SolveResponse, control.SCHEMA)

        def refused(request: control.SolveRequest) -> str:
            with pytest.raises(StatusError) as failed:
                solve(request)
            return failed.value.message

        with ThreadPoolExecutor() as pool:
            others = pool.submit(solve, control.SolveRequest("r4", definition=alone))
            for message in pool.map(refused, requests):
                assert "no active session for nowhere" in message
            others.result()


@pytest.mark.parametrize("op", [b"\xff\xff\xff\xff", b"\x0a\xff", b""])
def test_malformed_definitions(daemon: DaemonProcess, op: bytes) -> None:
    with daemon.dial() as channel, pytest.raises(StatusError) as refused:
        request = control.SolveRequest("r", definition=Definition((op,)))
        unary(channel, control.SOLVE, request, control.SolveResponse, control.SCHEMA)
    assert refused.value.code is not Code.INTERNAL
    assert refused.value.message


RANDOM = random.Random(12).randbytes(50)  # the same in every process, for pytest-xdist


@pytest.mark.parametrize("method", [control.SOLVE, control.STATUS, control.PRUNE, gateway.SOLVE])
@pytest.mark.parametrize("junk", [b"\xff", b"\x0a\xff\xff\xff\xff\x0f", RANDOM, b"\x0b"])
def test_malformed_messages(daemon: DaemonProcess, method: str, junk: bytes) -> None:
    with daemon.dial() as channel:
        with pytest.raises(StatusError) as refused:
            call_unary(channel, method, junk)
        assert "internal error of the daemon" not in refused.value.message
        version = unary(
            channel, control.INFO, control.InfoRequest(), control.InfoResponse, control.SCHEMA
        )
        assert version.buildkit_version is not None


def solve_error(daemon: DaemonProcess, definition: Definition) -> StatusError:
    with daemon.dial() as channel, pytest.raises(StatusError) as refused:
        request = control.SolveRequest(os.urandom(4).hex(), definition=definition)
        unary(channel, control.SOLVE, request, control.SolveResponse, control.SCHEMA)
    assert refused.value.code is not Code.INTERNAL
    return refused.value


def test_graphs_that_cannot_be(daemon: DaemonProcess) -> None:
    unknown = marshal(Vertex(Op(source=SourceOp("nothing://x"))).output())
    assert "nothing" in solve_error(daemon, unknown).message
    whole = marshal(
        Vertex(
            Op(file=FileOp((FileAction(0, NO_INPUT, 0, mkdir=MkDirAction("/a")),))),
            (Vertex(Op(source=SourceOp("docker-image://x"))).output(),),
        ).output()
    )
    assert len(whole.ops) == 3
    assert solve_error(daemon, whole._replace(ops=whole.ops[1:])).message  # its input is missing
    assert solve_error(daemon, whole._replace(ops=whole.ops[:-1])).message


def test_frontends_that_are_not_there(daemon: DaemonProcess) -> None:
    with daemon.dial() as channel:
        for request, message in (
            (control.SolveRequest("a", frontend="no.v9"), "no.v9"),
            (control.SolveRequest("b", frontend="gateway.v0"), "no source"),
            (control.SolveRequest(""), "ref"),
        ):
            with pytest.raises(StatusError, match=message):
                unary(channel, control.SOLVE, request, control.SolveResponse, control.SCHEMA)
        with pytest.raises(StatusError) as unknown:
            call_unary(
                channel,
                gateway.PING,
                encode(gateway.PingRequest(), gateway.SCHEMA),
                metadata=(("buildkit-controlapi-buildid", "nobody"),),
            )
        assert unknown.value.code is Code.NOT_FOUND
        with pytest.raises(StatusError) as nothing:
            call_unary(channel, "/moby.buildkit.v1.Control/Nothing", b"")
        assert nothing.value.code is Code.UNIMPLEMENTED


def test_a_client_that_opens_a_gateway_and_leaves(
    daemon: DaemonProcess, client: RemoteLamina, context: Callable[..., Path]
) -> None:
    with daemon.dial() as channel:
        call = channel.open(control.SOLVE)
        call.send(encode(control.SolveRequest("open"), control.SCHEMA))
        call.finish_sending()
        answer = call_unary(
            channel,
            gateway.PING,
            encode(gateway.PingRequest(), gateway.SCHEMA),
            metadata=(("buildkit-controlapi-buildid", "open"),),
        )
        assert answer
    client.build(context("RUN true\n"))
    with daemon.dial() as channel, pytest.raises(StatusError):
        call_unary(channel, gateway.PING, b"", metadata=(("buildkit-controlapi-buildid", "open"),))


FRONTENDS = {
    "crashes": ("echo it fell over >&2; exit 3", "exit code: 3"),
    "says nothing": ("true", "closed unexpectedly"),
    "talks nonsense": ("echo hello, I am no gRPC; sleep 1", ""),
}


@pytest.mark.parametrize("kind", list(FRONTENDS))
def test_frontends_in_images_that_fail(
    client: RemoteLamina, context: Callable[..., Path], tmp_path: Path, kind: str
) -> None:
    script, message = FRONTENDS[kind]
    folder = _frontend(client, context, tmp_path, script)
    done = client("build", "--progress=plain", *folder)
    assert done.code == 1
    assert "ERROR: " in done.err
    assert message in done.err
    client.build(context("RUN true\n"))


def test_a_frontend_that_hangs_ends_with_its_client(
    client: RemoteLamina, context: Callable[..., Path], tmp_path: Path
) -> None:
    length = f"9{os.getpid()}"
    *options, folder = _frontend(client, context, tmp_path, f"exec sleep {length}")
    with Watched(client, Path(folder), *options) as build:
        deadline = time.monotonic() + 30
        while not running(f"sleep {length}"):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        build.process.kill()
        build.process.wait()
        assert gone(f"sleep {length}")
    client.build(context("RUN true\n"))


def _frontend(
    client: RemoteLamina, context: Callable[..., Path], tmp_path: Path, script: str
) -> list[str]:
    """The command line of a build whose frontend is an image with a script."""
    made = context(f'RUN true\nENTRYPOINT ["/bin/sh", "-c", "{script}"]\n')
    client.build(made, "-t", "local/frontend:1")
    using = tmp_path / "using"
    using.mkdir()
    (using / "Dockerfile").write_text("# syntax=local/frontend:1\nFROM scratch\n")
    return [str(using)]


def test_fifty_at_once(daemon: DaemonProcess, context: Callable[..., Path], tmp_path: Path) -> None:
    folder = context("ARG N\nRUN echo $N > /n\n")

    def build(number: int) -> str:
        out = tmp_path / f"out{number}"
        request = BuildRequest(
            ContextSpec(str(folder), str(folder / "Dockerfile")),
            outputs=(OutputSpec("local", (("dest", str(out)),)),),
        )
        frontend = request.frontend._replace(build_args=(("N", str(number)),))
        with open_remote(daemon.address) as builder:
            builder.build(request._replace(frontend=frontend), ignore, Cancellation())
        return (out / "n").read_text()

    with ThreadPoolExecutor(50) as pool:
        assert list(pool.map(build, range(50))) == [f"{n}\n" for n in range(50)]
    with open(f"/proc/{daemon.process.pid}/status") as status:
        peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    assert peak < 500_000  # KiB


def ignore(event: Event) -> None:
    return


def test_killed_in_the_middle_the_same_build_works(
    tmp_path: Path, context: Callable[..., Path]
) -> None:
    folder = context(SLOW)
    with DaemonProcess(tmp_path / "store") as daemon:
        client = RemoteLamina(tmp_path, daemon.address)
        with Watched(client, folder) as build:
            build.until("begun")
            daemon.kill()
            assert build.end() == 1
        assert "the connection to the daemon" in build.log
    with DaemonProcess(tmp_path / "store") as daemon:
        client = RemoteLamina(tmp_path, daemon.address)
        client.build(folder, "-o", str(tmp_path / "out"))
    assert (tmp_path / "out/log").read_text().endswith("run\n")


def test_caches_in_a_registry_and_in_images(
    client: RemoteLamina, context: Callable[..., Path], tmp_path: Path
) -> None:
    from tests.real_registry import running_registry

    folder = context("RUN echo 1 > /file\n")
    with running_registry(tmp_path / "registry") as host:
        cache = f"type=registry,ref={host}/cache:1"
        client.build(folder, "--cache-to", f"{cache},mode=max", "--push", "-t", f"{host}/app:1")
        client.build(folder, "--cache-to", "type=inline", "--push", "-t", f"{host}/inline:1")
        for source in (cache, f"type=registry,ref={host}/inline:1"):
            assert client("prune", "-af").code == 0
            log = client.build(folder, "--cache-from", source)
            assert "CACHED" in log.partition("RUN echo 1")[2]

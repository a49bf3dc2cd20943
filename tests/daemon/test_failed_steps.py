"""Containers on what a failed step had and made, by the ids in its error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from lamina.api import gateway
from lamina.api.errors import Solve, typed_errors
from lamina.llb.op import (
    NO_INPUT,
    NO_OUTPUT,
    CacheOpt,
    CopyAction,
    ExecMeta,
    ExecOp,
    FileAction,
    FileOp,
    MkDirAction,
    MkFileAction,
    Mount,
    MountContentCache,
    MountType,
    Op,
)
from lamina.llb.state import Edge, Vertex, marshal, unmarshal
from lamina.wire.contract import StatusError
from tests.daemon.gateway_client import gateway_build
from tests.daemon_process import DaemonProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.daemon.gateway_client import GatewayClient


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    with DaemonProcess(tmp_path_factory.mktemp("daemon") / "store") as daemon:
        yield daemon


@pytest.fixture
def client(daemon: DaemonProcess, context: Callable[..., Path], request: Any) -> Any:
    folder = context("")
    with (
        daemon.dial() as channel,
        gateway_build(channel, folder, request.node.name) as client,
    ):
        yield client


def base(client: GatewayClient) -> Edge:
    ref = client.target("base")
    assert ref.definition is not None
    edge = unmarshal(ref.definition)
    assert edge is not None
    return edge


def made(*actions: FileAction, inputs: tuple[Edge, ...] = ()) -> Edge:
    return Vertex(Op(file=FileOp(actions)), inputs).output()


def mkfile(path: str, data: bytes, below: int = NO_INPUT, output: int = NO_OUTPUT) -> FileAction:
    return FileAction(below, NO_INPUT, output, mkfile=MkFileAction(path, 0o644, data))


def mkdir(path: str, below: int = NO_INPUT, output: int = NO_OUTPUT) -> FileAction:
    return FileAction(below, NO_INPUT, output, mkdir=MkDirAction(path, 0o755))


def failure(client: GatewayClient, edge: Edge) -> Solve:
    with pytest.raises(StatusError) as caught:
        client.solve(definition=marshal(edge), evaluate=True)
    (found,) = [detail for detail in typed_errors(caught.value) if isinstance(detail, Solve)]
    return found


def read(client: GatewayClient, mounts: tuple[Mount, ...], *paths: str) -> bytes:
    container = client.container(*mounts)
    with client.processes() as processes:
        process = processes.start(container, "cat", *paths)
        assert process.wait() == 0, process.outputs
    client.release(container)
    return process.outputs[1]


def test_a_failed_command(client: GatewayClient) -> None:
    script = "echo changed > /new && echo more > /rw/new && echo kept > /cache/c && exit 5"
    below = made(mkfile("/file", b"below\n", output=0))
    op = ExecOp(
        ExecMeta(("/bin/sh", "-c", script), ("PATH=/bin",), "/"),
        (
            Mount(0, dest="/", output=0),
            Mount(1, dest="/rw", output=NO_OUTPUT),
            Mount(NO_INPUT, dest="/scratch", output=1),
            Mount(1, dest="/ro", output=NO_OUTPUT, readonly=True),
            Mount(
                NO_INPUT,
                dest="/cache",
                output=NO_OUTPUT,
                mount_type=MountType.CACHE,
                cache=CacheOpt("c"),
            ),
        ),
    )
    root = base(client)
    error = failure(client, Vertex(Op(exec=op), (root, below)).output())
    assert len(error.input_ids) == len(error.mount_ids) == 5
    assert error.input_ids[2] == error.input_ids[4] == error.mount_ids[4] == ""

    def mounts(ids: tuple[str, ...]) -> tuple[Mount, ...]:
        pairs = zip(op.mounts, ids, strict=True)
        return tuple(mount._replace(result_id=ref) for mount, ref in pairs)

    paths = ("/new", "/rw/new", "/rw/file", "/ro/file", "/cache/c")
    assert read(client, mounts(error.mount_ids), *paths) == b"changed\nmore\nbelow\nbelow\nkept\n"
    container = client.container(*mounts(error.input_ids))
    assert "new" not in client.read_dir(container, "/")
    assert client.read_dir(container, "/", 1) == ["file"]
    client.release(container)
    # The failure is no result: the step runs again.
    assert failure(client, Vertex(Op(exec=op), (root, below)).output()).mount_ids


def test_a_command_that_does_not_exist(client: GatewayClient) -> None:
    op = ExecOp(ExecMeta(("none",), ("PATH=/bin",), "/"), (Mount(0, dest="/", output=0),))
    error = failure(client, Vertex(Op(exec=op), (base(client),)).output())
    (ref,) = error.mount_ids
    assert read(client, (Mount(dest="/", result_id=ref),), "/dev/null") == b""


@pytest.mark.parametrize(
    ("actions", "inputs", "outputs", "path"),
    [
        (
            (mkdir("/d"), mkfile("/d/f", b"x", 0), mkfile("/none/f", b"", 1, 0)),
            0,
            3,
            "/input/d/f",
        ),
        (
            (FileAction(0, 1, 0, copy=CopyAction("/d/f", "/none/f")),),
            2,
            1,
            "/secondary/d/f",
        ),
        (
            (
                mkdir("/d"),
                mkfile("/d/f", b"x", 1),
                FileAction(0, 2, 0, copy=CopyAction("/d/f", "/none/f")),
            ),
            1,
            3,
            "/secondary/d/f",
        ),
    ],
    ids=["mkfile", "copy from input", "copy from action"],
)
def test_a_failed_file_op(
    client: GatewayClient, actions: tuple[FileAction, ...], inputs: int, outputs: int, path: str
) -> None:
    root = base(client)
    other = made(mkdir("/d"), mkfile("/d/f", b"x", 0, 0))
    error = failure(client, made(*actions, inputs=(root, other)[:inputs]))
    assert (len(error.input_ids), len(error.mount_ids)) == (inputs, outputs)
    assert error.file_action == outputs - 1
    debug = client.solve(definition=marshal(root))
    mounts: tuple[Mount, ...] = (
        Mount(dest="/", result_id=debug.id),
        Mount(dest="/input", result_id=error.mount_ids[-1]),
    )
    second = actions[-1].secondary_input
    if second >= 0:
        ids = (*error.input_ids, *error.mount_ids)
        mounts += (Mount(dest="/secondary", result_id=ids[second]),)
    assert read(client, mounts, path) == b"x"


def test_content_that_cannot_be_digested(client: GatewayClient) -> None:
    root = base(client)
    other = made(mkdir("/d"), mkfile("/d/f", b"x", 0, 0))
    op = ExecOp(
        ExecMeta(("true",), ("PATH=/bin",), "/"),
        (
            Mount(0, dest="/", output=0),
            Mount(
                1,
                "/none",
                "/src",
                NO_OUTPUT,
                readonly=True,
                content_cache=MountContentCache.ON,
            ),
        ),
    )
    error = failure(client, Vertex(Op(exec=op), (root, other)).output())
    assert error.content_cache == 1
    assert error.mount_ids == ()
    (ref,) = error.input_ids
    debug = client.solve(definition=marshal(root))
    mounts = (Mount(dest="/", result_id=debug.id), Mount(dest="/problem", result_id=ref))
    assert read(client, mounts, "/problem/d/f") == b"x"


def test_a_failed_step_of_a_dockerfile(daemon: DaemonProcess, context: Callable[..., Path]) -> None:
    text = "FROM base AS failing\nWORKDIR /w\nRUN echo changed > new && exit 3\n"
    with (
        daemon.dial() as channel,
        gateway_build(channel, context(text), "dockerfile") as client,
    ):
        with pytest.raises(StatusError) as caught:
            client.solve(
                frontend="dockerfile.v0", frontend_opt=(("target", "failing"),), evaluate=True
            )
        (found,) = [d for d in typed_errors(caught.value) if isinstance(d, Solve)]
        assert (
            read(client, (Mount(dest="/", result_id=found.mount_ids[0]),), "/w/new") == b"changed\n"
        )
        with pytest.raises(StatusError, match="no such ref"):
            client.call(
                gateway.READ_FILE,
                gateway.ReadFileRequest(found.mount_ids[0], "/w/new"),
                gateway.ReadFileResponse,
            )

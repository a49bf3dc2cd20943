"""Directories that are mounted into steps: private ones, and a context equal to BuildKit's copy."""

from __future__ import annotations

import os
import socket
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from lamina.base.errors import LaminaError
from lamina.llb.op import (
    NO_INPUT,
    NO_OUTPUT,
    CacheOpt,
    CacheSharing,
    CopyAction,
    ExecMeta,
    ExecOp,
    FileAction,
    FileOp,
    Mount,
    MountType,
    Op,
    OpMetadata,
    SourceOp,
)
from lamina.llb.state import Edge, Vertex, marshal
from lamina.ops.context_bind import shown
from lamina.refs.ref import Ref
from lamina.refs.tree import Tree
from lamina.system.cancel import Cancellation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from tests.engine.conftest import Bench

    WithEngine = Callable[[Callable[[Bench], Any]], Any]


def local(name: str, *attrs: tuple[str, str]) -> Edge:
    return Vertex(Op(source=SourceOp(f"local://{name}", attrs))).output()


def tools() -> Edge:
    copy = CopyAction("/busybox", "/busybox", mode=-1, timestamp=-1)
    action = FileAction(NO_INPUT, 0, 0, copy=copy)
    return Vertex(Op(file=FileOp((action,))), (local("tools"),)).output()


def run(script: str, *mounts: Mount, inputs: Iterable[Edge] = ()) -> Vertex:
    op = ExecOp(
        ExecMeta(("/busybox", "sh", "-c", script), ("PATH=/",), cwd="/"),
        (Mount(0, dest="/", output=0), *mounts),
    )
    return Vertex(Op(exec=op), (tools(), *inputs), metadata=OpMetadata(ignore_cache=True))


def bind(selector: str = "") -> Mount:
    return Mount(1, dest="/c", output=NO_OUTPUT, readonly=True, selector=selector)


def cache(selector: str) -> Mount:
    return Mount(
        NO_INPUT,
        dest="/cache",
        output=NO_OUTPUT,
        selector=selector,
        mount_type=MountType.CACHE,
        cache=CacheOpt("it", CacheSharing.SHARED),
    )


def seen(
    with_engine: WithEngine, context: Path, script: str, selector: str = "", ignored: str = ""
) -> str:
    """The output of a step in /out, with a context at /c."""
    attrs = (("local.excludepatterns", f'["{ignored}"]'),) if ignored else ()
    edge = run(f"{{ {script}; }} > /out 2>&1; true", bind(selector), inputs=[local("ctx", *attrs)])
    folders = {"tools": "/bin", "ctx": str(context)}
    found = with_engine(lambda bench: bench.tree(marshal(edge.output()), folders=folders))
    text: str = found["out"]
    return text


LIST = (
    "cd /; for f in $(/busybox find c | /busybox sort); do /busybox stat -c '%n %u:%g %F' $f; done"
)


@pytest.fixture
def context(tmp_path: Path) -> Path:
    folder = tmp_path / "context"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "file").write_text("text")
    (folder / "link").symlink_to("sub/file")
    return folder


def give(context: Path, owner: int, group: int) -> None:
    for folder, folders, names in os.walk(context):
        for name in (".", *folders, *names):
            os.chown(os.path.join(folder, name), owner, group, follow_symlinks=False)


EVERYTHING = """c 0:0 directory
c/link 0:0 symbolic link
c/sub 0:0 directory
c/sub/file 0:0 regular file
"""


@pytest.mark.parametrize("owner", [(0, 0), (1234, 1235)])
def test_a_context_is_shown_as_root_s(
    with_engine: WithEngine, context: Path, owner: tuple[int, int]
) -> None:
    give(context, *owner)
    script = f"{LIST}; /busybox cat /c/link; echo > /c/sub/new || echo refused"
    shown = seen(with_engine, context, script)
    assert shown.startswith(EVERYTHING + "text")
    assert shown.endswith("Read-only file system\nrefused\n")
    assert os.listdir(context / "sub") == ["file"]


def test_several_owners_are_all_root(with_engine: WithEngine, context: Path) -> None:
    os.chown(context / "sub" / "file", 1234, 1234)
    assert seen(with_engine, context, LIST) == EVERYTHING


@pytest.mark.parametrize("owner", [(0, 0), (1234, 1235)])
def test_one_file_of_a_context(
    with_engine: WithEngine, context: Path, owner: tuple[int, int]
) -> None:
    give(context, *owner)
    script = "/busybox cat /c; /busybox stat -c ' %u:%g' /c; echo x > /c"
    shown = seen(with_engine, context, script, "/link")
    assert shown.splitlines()[0] == "text 0:0"
    assert "Read-only" in shown


def test_bind_mounts_of_part_of_a_context(with_engine: WithEngine, context: Path) -> None:
    (context / "sub" / "secret").write_text("no")
    assert seen(with_engine, context, LIST, "sub", "sub/secret") == (
        "c 0:0 directory\nc/file 0:0 regular file\n"
    )
    assert seen(with_engine, context, LIST, ignored="sub/secret") == EVERYTHING
    assert seen(with_engine, context, LIST, "sub", "link") == (
        "c 0:0 directory\nc/file 0:0 regular file\nc/secret 0:0 regular file\n"
    )


def test_binding_a_missing_path_of_a_context_fails(with_engine: WithEngine, context: Path) -> None:
    (context / "out").symlink_to("/etc")
    for selector in ("/missing", "/out/passwd"):
        with pytest.raises(LaminaError, match="not found"):
            seen(with_engine, context, "true", selector)


def test_a_host_s_sockets_and_pipes_are_out_of_reach(
    with_engine: WithEngine, context: Path
) -> None:
    """A socket is an empty file, and a pipe is private to the step; so with BuildKit's client."""
    os.mkfifo(context / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(context / "socket"))
        listener.listen()
        writer = os.open(context / "pipe", os.O_RDWR)
        os.write(writer, b"host")
        script = (
            "/busybox stat -c '%F %s' /c/socket /c/pipe;"
            "/busybox timeout 0.3 /busybox cat /c/pipe; echo end"
        )
        shown = seen(with_engine, context, script)
        os.close(writer)
    assert shown.startswith("regular empty file 0\nfifo 0\n")
    assert shown.endswith("end\n")
    assert "host" not in shown


def test_a_socket_that_appears_later_cannot_be_connected_to(
    with_engine: WithEngine, context: Path
) -> None:
    def use(bench: Bench) -> str:
        ref, cancel = Ref(local=Tree(str(context), owner=(0, 0))), Cancellation()
        private = bench.engine.store.path("private")
        with (
            shown(bench.engine.refs, ref, "", private, cancel) as place,
            socket.socket(socket.AF_UNIX) as listener,
            socket.socket(socket.AF_UNIX) as client,
        ):
            os.chdir(context)  # whole paths would be too long for sockets
            listener.bind("late")
            listener.listen()
            os.chdir(place)
            try:
                client.connect("late")
            except OSError as error:
                return str(error.strerror)
            finally:
                os.chdir("/")
        return "connected"

    assert with_engine(use) == "Connection refused"


@pytest.mark.parametrize("kind", ["tmpfs", "bind"])
def test_files_on_mounts_below_a_context_are_copied(
    with_engine: WithEngine, context: Path, tmp_path: Path, kind: str
) -> None:
    (context / "mounted").mkdir()
    (tmp_path / "other").mkdir()
    command = ["mount", "-t", "tmpfs", "t", str(context / "mounted")]
    if kind == "bind":
        command = ["mount", "--bind", str(tmp_path / "other"), str(context / "mounted")]
    subprocess.run(command, check=True)
    try:
        (context / "mounted" / "file").write_text("below")
        script = "/busybox cat /c/mounted/file; echo bad > /c/mounted/file; echo > /c/mounted/new"
        shown = seen(with_engine, context, script)
        assert shown.startswith("below")
        assert shown.count("Read-only file system") == 2
        assert os.listdir(context / "mounted") == ["file"]
        assert (context / "mounted" / "file").read_text() == "below"
    finally:
        subprocess.run(["umount", str(context / "mounted")], check=True)


def before_each_step(bench: Bench, act: Callable[[], None]) -> None:
    """Call a function when the mounts of a step are made, before the runtime is started."""
    runtime: Any = bench.engine.runtime()
    start = runtime.run

    def late(*args: Any, **options: Any) -> Any:
        act()
        return start(*args, **options)

    runtime.run = late


def test_a_link_that_takes_the_place_of_a_mount_s_source_is_not_followed(
    with_engine: WithEngine, tmp_path: Path
) -> None:
    """Another step with the same cache mount can do that at any moment (CVE-2024-23651)."""
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "host").touch()
    edge = run("echo written > /cache/file; /busybox ls /cache > /out", cache("sub"))

    def use(bench: Bench) -> Any:
        def swap() -> None:
            mounts = bench.engine.store.path("mounts")
            (folder,) = (e.path for e in os.scandir(mounts) if e.is_dir())
            os.rename(os.path.join(folder, "sub"), os.path.join(folder, "moved"))
            os.symlink(victim, os.path.join(folder, "sub"))

        before_each_step(bench, swap)
        found = bench.tree(marshal(edge.output()), folders={"tools": "/bin"})
        (folder,) = (e.path for e in os.scandir(bench.engine.store.path("mounts")) if e.is_dir())
        return found["out"], os.listdir(os.path.join(folder, "moved"))

    assert with_engine(use) == ("file\n", ["file"])
    assert os.listdir(victim) == ["host"]


def test_a_link_in_a_cache_leads_nowhere_outside_of_it(
    with_engine: WithEngine, tmp_path: Path
) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    plant = run(f"/busybox ln -s {victim} /cache/sub; /busybox ln -s ../../.. /cache/up", cache(""))
    for selector in ("sub", "sub/deeper"):
        follow = run("echo bad > /cache/file", cache(selector))

        def use(bench: Bench, follow: Vertex = follow) -> None:
            bench.tree(marshal(plant.output()), marshal(follow.output()), folders={"tools": "/bin"})

        with pytest.raises(LaminaError, match="not found"):
            with_engine(use)
    climb = run("/busybox ls /cache > /out", cache("up"))

    def use_up(bench: Bench) -> Any:
        definitions = (marshal(plant.output()), marshal(climb.output()))
        return bench.tree(*definitions, folders={"tools": "/bin"})

    assert with_engine(use_up)["out"] == "sub\nup\n"
    assert os.listdir(victim) == []


def test_a_cache_folder_that_is_missing_is_made(with_engine: WithEngine) -> None:
    edge = run("/busybox stat -c %a /cache > /out", cache("a/b/c"))
    found = with_engine(lambda bench: bench.tree(marshal(edge.output()), folders={"tools": "/bin"}))
    assert found["out"] == "755\n"


def test_a_source_in_another_stage_stays_within_it(with_engine: WithEngine) -> None:
    stage = run("/busybox mkdir /etc; echo inside > /etc/passwd; /busybox ln -s /etc/passwd /p")
    edge = run("/busybox cat /c > /out", bind("/p"), inputs=[stage.output()])
    found = with_engine(lambda bench: bench.tree(marshal(edge.output()), folders={"tools": "/bin"}))
    assert found["out"] == "inside\n"


def test_no_mounts_are_left(with_engine: WithEngine, context: Path) -> None:
    give(context, 1234, 1234)
    edge = run("true", bind("sub"), cache("sub"), inputs=[local("ctx")])

    def use(bench: Bench) -> Any:
        bench.engine.runtime()

        def points() -> list[str]:
            with open("/proc/self/mountinfo") as file:
                return [line.split()[4] for line in file]

        before = points()
        bench.tree(marshal(edge.output()), folders={"tools": "/bin", "ctx": str(context)})
        private = bench.engine.store.path("private")
        return before == points(), sorted(os.listdir(private))

    assert with_engine(use) == (True, ["runtime"])


def test_a_target_is_where_its_parent_parts_lead(with_engine: WithEngine) -> None:
    tidy = cache("")._replace(dest="//a/../b/./c/../d/")
    out = Mount(NO_INPUT, dest="/out", output=1)
    step = run("touch /b/d/file && ls -d /a /b /b/* > /out/seen || true", tidy, out)

    def of(output: int) -> Any:
        definition = marshal(step.output(output))
        return with_engine(lambda bench: bench.tree(definition, folders={"tools": "/bin"}))

    assert of(1) == {"seen": "/b\n/b/d\n"}
    assert sorted(of(0)) == ["busybox", "dev", "proc", "sys"]


@pytest.mark.parametrize("target", ["/x/..", "//", "..", ""])
def test_the_root_of_a_step_cannot_be_hidden(with_engine: WithEngine, target: str) -> None:
    step = marshal(run("true", cache("")._replace(dest=target)).output())
    with pytest.raises(LaminaError, match="would hide the root"):
        with_engine(lambda bench: bench.tree(step, folders={"tools": "/bin"}))

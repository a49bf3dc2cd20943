"""Builds of states: every operation, embedded and by a daemon."""

from __future__ import annotations

import http.server
import io
import os
import subprocess
import tarfile
import threading
from typing import TYPE_CHECKING

import pytest

import lamina
from tests.builder.conftest import DAEMONS
from tests.real_registry import running_registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Files = Callable[[lamina.State], Path]


def test_commands_with_every_mount(
    builder: lamina.Builder, base: lamina.State, tmp_path: Path
) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src/in").write_text("input\n")
    script = (
        "cat /in/in > /out/text; cat /run/secrets/token >> /out/text; echo $KEY $A >> /out/text;"
        " touch /c/kept /t/lost; mount | grep -c ' /t ' >> /out/text; pwd >> /out/text;"
        " id -u >> /out/text; grep -c '10.1.2.3.db' /etc/hosts >> /out/text; hostname >> /out/text;"
        " ulimit -n >> /out/text"
    )
    made = base.env(A="1").run(
        script,
        mounts=[
            lamina.bind(lamina.local(tmp_path / "src"), "/in"),
            lamina.bind(lamina.scratch().mkdir("/d", owner="7"), "/out", path="/d", writable=True),
            lamina.cache("/c", sharing="locked"),
            lamina.tmpfs("/t", size=1 << 20),
            lamina.secret("token"),
            lamina.secret("key", env="KEY"),
        ],
        env={"A": "2"},
        cwd="/src",
        user="0:5",
        network="none",
        hostname="builder",
        extra_hosts={"db": "10.1.2.3"},
        ulimits={"nofile": (99, 100)},
        name="The step",
    )
    names: list[str] = []

    def note(event: object) -> None:
        if isinstance(event, lamina.VertexEvent):
            names.append(event.name)

    (tmp_path / "key").write_text("k\n")
    builder.build(
        made.output("/out"),
        secrets={"token": b"s3\n", "key": tmp_path / "key"},
        outputs=[f"type=local,dest={tmp_path}/out"],
        on_event=note,
    )
    lines = (tmp_path / "out/d/text").read_text().splitlines()
    assert lines == ["input", "s3", "k 2", "1", "/src", "0", "1", "builder", "99"]
    assert "The step" in names


def test_file_operations(builder: lamina.Builder, tmp_path: Path) -> None:
    for name in ("a.txt", "b.txt", "c.md"):
        (tmp_path / name).write_text(name)
    archive = tmp_path / "x.tar"
    with tarfile.open(archive, "w") as tar:
        info = tarfile.TarInfo("unpacked")
        info.size = 2
        tar.addfile(info, io.BytesIO(b"hi"))
    source = lamina.local(tmp_path, exclude=["b.txt"])
    state = (
        lamina.scratch()
        .mkdir("/a/b", mode=0o700)
        .write("/a/b/file", "text", mode=0o640, owner="3:4")
        .write("/gone", b"\0")
        .remove("/gone")
        .remove("/never", missing_ok=True)
        .symlink("a/b", "/link")
        .workdir("/w")
        .copy(source, ["*.txt", "c.md"], "copies/", mode=0o600, owner="9")
        .copy(source, "x.tar", "/", unpack=True)
        .copy(source, "c.md", "/sym", mode="u=rwx,go=")
    )
    builder.build(state, outputs=[f"type=tar,dest={tmp_path}/files.tar"])
    with tarfile.open(tmp_path / "files.tar") as tar:
        found = {member.name: member for member in tar.getmembers()}
    file = found["a/b/file"]
    assert (file.mode, file.uid, file.gid) == (0o640, 3, 4)
    assert found["a/b"].mode == 0o700
    assert found["link"].linkname == "a/b"
    assert sorted(found) == [
        *("a", "a/b", "a/b/file", "link", "sym", "unpacked"),
        *("w", "w/copies", "w/copies/a.txt", "w/copies/c.md"),
    ]
    assert (found["w/copies/a.txt"].mode, found["w/copies/a.txt"].uid) == (0o600, 9)
    assert found["sym"].mode == 0o700


def test_merge_and_diff(files: Files, base: lamina.State) -> None:
    one = base.run("echo 1 > /one; rm /bin/vi")
    two = lamina.scratch().write("/two", "2")
    found = files(lamina.merge(one.diff(base), two, lamina.scratch()))
    assert {"one", "two"} <= set(os.listdir(found))
    assert not (found / "bin/sh").exists()
    assert (found / "one").read_text() == "1\n"


def test_merge_and_diff_of_equal_states(files: Files) -> None:
    def made(name: str) -> lamina.State:
        return lamina.scratch().write(f"/{name}", name).write("/same", name)

    empty = made("a").diff(made("a"))
    found = files(lamina.merge(empty, made("a"), made("b"), made("a")))
    assert sorted(os.listdir(found)) == ["a", "b", "same"]
    assert (found / "same").read_text() == "a"


def test_git(files: Files, tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    repository.mkdir()
    (repository / "file").write_text("committed")
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(repository)]
    subprocess.run([*git, "init", "-q", "-b", "main"], check=True)
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "first"], check=True)
    subprocess.run([*git, "update-server-info"], check=True)
    with serving(repository / ".git") as address:
        found = files(lamina.git(f"{address}/.git#main"))
    assert (found / "file").read_text() == "committed"


def test_http(files: Files, tmp_path: Path) -> None:
    (tmp_path / "page").write_text("served")
    with serving(tmp_path) as address:
        found = files(lamina.http(f"{address}/page", filename="saved"))
    assert (found / "saved").read_text() == "served"


def test_oci_layout_and_its_configuration(
    builder: lamina.Builder, base: lamina.State, tmp_path: Path
) -> None:
    layout = f"type=oci,tar=false,dest={tmp_path}/layout"
    builder.build(base.env(A="layout").workdir("/w"), outputs=[layout], tags=["x"])
    user = lamina.oci_layout(tmp_path / "layout").run("echo $A $PWD > /out")
    builder.build(user, outputs=[f"type=local,dest={tmp_path}/files"])
    assert (tmp_path / "files/out").read_text() == "layout /w\n"


def test_the_image_configuration(embedded: lamina.Builder, base: lamina.State) -> None:
    state = (
        base.env({"A-B": "1"}, C="2")
        .workdir("/a")
        .workdir("b")
        .user("3:4")
        .entrypoint(["/bin/echo"])
        .cmd(["hi"])
        .label({"l": "1"})
        .expose(80, "53/udp")
        .volume("/data")
        .stop_signal("SIGINT")
        .healthcheck("true", interval=1.5, retries=2)
        .shell(["/bin/ash", "-c"])
    )
    result = embedded.build(state, tags=["configured"])
    config = embedded.inspect("configured")["config"]
    assert config["config"] == {
        "User": "3:4",
        "ExposedPorts": {"53/udp": {}, "80/tcp": {}},
        "Env": [
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "A-B=1",
            "C=2",
        ],
        "Entrypoint": ["/bin/echo"],
        "Cmd": ["hi"],
        "Volumes": {"/data": {}},
        "WorkingDir": "/a/b",
        "Labels": {"l": "1"},
        "StopSignal": "SIGINT",
        "Healthcheck": {"Test": ["CMD-SHELL", "true"], "Interval": 1500000000, "Retries": 2},
        "Shell": ["/bin/ash", "-c"],
    }
    layers = [entry for entry in config["history"] if not entry.get("empty_layer")]
    assert len(layers) == len(config["rootfs"]["diff_ids"])
    assert result.digest.startswith("sha256:")
    assert embedded.run("configured").stdout == b"hi\n"


def test_an_image_of_the_store_is_a_base(embedded: lamina.Builder, base: lamina.State) -> None:
    embedded.build(base.env(WHO="stored").workdir("/here"), tags=["stored-base"])
    for state in (lamina.image("stored-base"), embedded.image("stored-base")):
        embedded.build(state.run("echo $WHO $PWD > /out"), tags=["on-it"])
        assert embedded.run("on-it", ["cat", "/out"]).stdout == b"stored /here\n"


def test_several_platforms(builder: lamina.Builder, tmp_path: Path) -> None:
    state = lamina.scratch().write("/file", "x").env(A="1")
    builder.build(
        state,
        platforms=["linux/amd64", "linux/arm64"],
        outputs=[f"type=oci,tar=false,dest={tmp_path}/layout"],
        tags=["x"],
    )
    shown = subprocess.run(
        ["skopeo", "inspect", "--raw", f"oci:{tmp_path}/layout:latest"],
        capture_output=True,
        text=True,
    )
    assert '"architecture":"arm64"' in shown.stdout.replace(" ", ""), shown.stderr


def test_a_dockerfile_is_extended(files: Files, binaries: Path, tmp_path: Path) -> None:
    (tmp_path / "ignored").write_text("x")
    (tmp_path / "kept").write_text("x")
    (tmp_path / ".dockerignore").write_text("ignored\n")
    os.link(binaries / "busybox", tmp_path / "busybox")
    (tmp_path / "Dockerfile").write_text(
        "FROM scratch AS base\nARG V\nCOPY . /src/\nCOPY busybox /bin/sh\nENV A=$V\nWORKDIR /w\n"
        "FROM base\nRUN false\n"
    )
    built = lamina.from_dockerfile(tmp_path, target="base", build_args={"V": "4"})
    found = files(built.run('echo "$A $PWD" > /out'))
    assert (found / "out").read_text() == "4 /w\n"
    assert "kept" in os.listdir(found / "src") and "ignored" not in os.listdir(found / "src")


def test_a_state_is_a_context_of_an_embedded_dockerfile(files: Files, base: lamina.State) -> None:
    built = lamina.from_dockerfile(
        lamina.scratch().write("/file", "context"),
        text="FROM base AS x\nCOPY file /got\nRUN echo $A >> /got\n",
        contexts={"base": base.env(A="of state")},
    )
    assert (files(built) / "got").read_text() == "contextof state\n"


def test_a_state_is_a_stage_of_a_dockerfile(
    builder: lamina.Builder, base: lamina.State, tmp_path: Path
) -> None:
    (tmp_path / "context").mkdir()
    (tmp_path / "context/Dockerfile").write_text(
        "FROM base\nCOPY --from=tools /tool /tool\nRUN echo $A > /out\n"
    )
    builder.build(
        tmp_path / "context",
        contexts={
            "base": base.env(A="state"),
            "tools": lamina.scratch().write("/tool", "t"),
        },
        outputs=[f"type=local,dest={tmp_path}/files"],
    )
    assert (tmp_path / "files/out").read_text() == "state\n"
    assert (tmp_path / "files/tool").read_text() == "t"


BUILD_FILE = """
import lamina
from lamina.frontend import context, read_file, target
from words import WORD

@target
def tools(more: str) -> lamina.State:
    text = f"{WORD} {more} {read_file('data').decode()}"
    return context("base").write("/tool", text).env(TOOL="yes")

@target
def other() -> lamina.State:
    return lamina.scratch()
"""


@pytest.mark.parametrize("builder", ["embedded", "remote"], indirect=True)
def test_a_target_of_a_build_file(
    builder: lamina.Builder, base: lamina.State, tmp_path: Path
) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "build.py").write_text(BUILD_FILE)
    (folder / "words.py").write_text('WORD = "imported"\n')
    (folder / "data").write_text("data")
    made = lamina.from_build_file(
        folder / "build.py", target="tools", build_args={"more": "given"}, contexts={"base": base}
    )
    builder.build(
        folder,
        dockerfile=b"FROM tools\nRUN echo $TOOL > /out\n",
        contexts={"tools": made},
        outputs=[f"type=local,dest={tmp_path}/files"],
    )
    assert (tmp_path / "files/tool").read_text() == "imported given data"
    assert (tmp_path / "files/out").read_text() == "yes\n"
    with pytest.raises(lamina.InvalidInput, match="more is required") as caught:
        builder.build(lamina.from_build_file(folder / "build.py", target="tools"))
    assert str(caught.value.location) == "build.py:6"
    with pytest.raises(lamina.NotFound, match="is not a file"):
        lamina.from_build_file(folder / "none.py")


def test_a_cache_mount_is_that_of_a_dockerfile(
    embedded: lamina.Builder, base: lamina.State, binaries: Path, tmp_path: Path
) -> None:
    embedded.build(base.run("echo shared > /root/x/f", mounts=[lamina.cache("/root/x")]))
    os.link(binaries / "busybox", tmp_path / "busybox")
    (tmp_path / "Dockerfile").write_text(
        "FROM scratch\nCOPY busybox /bin/sh\n"
        "RUN --mount=type=cache,target=/root/x read x < /root/x/f && echo $x > /out\n"
    )
    embedded.build(tmp_path, outputs=[str(tmp_path / "files")])
    assert (tmp_path / "files/out").read_text() == "shared\n"


def test_steps_are_cached_and_in_groups(builder: lamina.Builder, base: lamina.State) -> None:
    state = base.in_group("Compile").run("echo 1").run("echo 2").in_group("").run("echo 3")
    builder.build(state)
    events: list[lamina.VertexEvent] = []

    def note(event: object) -> None:
        if isinstance(event, lamina.VertexEvent) and event.name.startswith("RUN echo"):
            events.append(event)

    builder.build(state, on_event=note)
    assert {event.name for event in events if event.cached} == {
        "RUN echo 1",
        "RUN echo 2",
        "RUN echo 3",
    }
    groups = {event.name: event.group.name for event in events if event.group is not None}
    assert groups == {"RUN echo 1": "Compile", "RUN echo 2": "Compile"}


def test_a_thousand_steps(builder: lamina.Builder, tmp_path: Path) -> None:
    state = lamina.scratch()
    for number in range(1000):
        state = state.env({f"V{number}": "x"})
    state = state.write("/file", "x")
    builder.build(state, outputs=[f"type=local,dest={tmp_path}/files"])
    assert (tmp_path / "files/file").read_text() == "x"


@pytest.mark.parametrize("builder", DAEMONS, indirect=True)
def test_a_device(files: Files, base: lamina.State) -> None:
    state = base.run("echo $DEVICE > /out", devices=["lamina.test/word=one"])
    assert (files(state) / "out").read_text() == "one\n"


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_registry(tmp_path_factory.mktemp("registry")) as host:
        yield host


def test_an_image_is_pushed_and_read(
    builder: lamina.Builder, base: lamina.State, registry: str, files: Files
) -> None:
    name = f"{registry}/pushed:1"
    result = builder.build(base.env(A="pushed"), tags=[name], push=True)
    found = files(lamina.image(f"{name}@{result.digest}").run("echo $A > /out"))
    assert (found / "out").read_text() == "pushed\n"


def serving(directory: Path) -> Served:
    return Served(directory)


class Served:
    """An HTTP server of a directory; a git directory is served as `.git`."""

    def __init__(self, directory: Path) -> None:
        top = directory.parent if directory.name == ".git" else directory

        class Handler(http.server.SimpleHTTPRequestHandler):
            def __init__(self, *arguments: object) -> None:
                super().__init__(*arguments, directory=str(top))  # type: ignore[arg-type]

            def log_message(self, *arguments: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)

    def __enter__(self) -> str:
        self._thread.start()
        return f"http://127.0.0.1:{self._server.server_port}"

    def __exit__(self, *exception: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[str]:
    key, address = tmp_path / "key", tmp_path / "agent"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    process = subprocess.Popen(["ssh-agent", "-D", "-a", address], stdout=subprocess.DEVNULL)
    try:
        while not address.exists():
            assert process.poll() is None
        yield str(address)
    finally:
        process.terminate()
        process.wait()


def test_an_ssh_agent(
    builder: lamina.Builder, base: lamina.State, agent: str, tmp_path: Path
) -> None:
    state = base.run(
        'test -S "$SSH_AUTH_SOCK" && echo $SSH_AUTH_SOCK > /out', mounts=[lamina.ssh()]
    )
    builder.build(state, ssh=[f"default={agent}"], outputs=[f"type=local,dest={tmp_path}/files"])
    assert (tmp_path / "files/out").read_text() == "/run/buildkit/ssh_agent.0\n"

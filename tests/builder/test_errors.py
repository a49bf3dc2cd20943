"""Wrong arguments, and builds that fail: typed errors that name the user's line."""

from __future__ import annotations

import copy
import inspect
import os
import pickle
import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

import lamina

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def here() -> int:
    frame = inspect.currentframe()
    assert frame is not None and frame.f_back is not None
    return frame.f_back.f_lineno


def test_a_failed_command_names_its_line(builder: lamina.Builder, base: lamina.State) -> None:
    line = here() + 1
    failing = base.run("exit 7")
    with pytest.raises(lamina.CommandFailed) as caught:
        builder.build(failing.run("true"))
    assert caught.value.exit_code == 7
    place = caught.value.location
    assert place is not None
    assert (place.filename, place.start) == (__file__, line)
    assert 'base.run("exit 7")' in place.excerpt()


def test_an_accepted_exit_status(builder: lamina.Builder, base: lamina.State) -> None:
    builder.build(base.run("exit 7", exit_codes=[0, 7]))


def test_a_missing_image_names_its_line(builder: lamina.Builder) -> None:
    line = here() + 1
    state = lamina.image("127.0.0.1:1/missing:1")
    with pytest.raises(lamina.LaminaError) as caught:
        builder.build(state)
    place = caught.value.location
    assert place is not None and (place.filename, place.start) == (__file__, line)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: lamina.scratch().run(""), "the command is empty"),
        (
            lambda: lamina.scratch().run("x", network="bridge"),  # type: ignore[arg-type] # wrong
            'unknown network "bridge"',
        ),
        (
            lambda: lamina.scratch().run("x", security="none"),  # type: ignore[arg-type] # wrong
            'unknown security "none"',
        ),
        (lambda: lamina.scratch().run("x", mounts=[lamina.tmpfs("/")]), "invalid mount target"),
        (
            lambda: lamina.scratch().run("x", mounts=[lamina.tmpfs("/a"), lamina.cache("/a")]),
            "two mounts have the target /a",
        ),
        (
            lambda: lamina.scratch().run(
                "x",
                mounts=[lamina.cache("/a", sharing="no")],  # type: ignore[arg-type] # wrong
            ),
            'unknown sharing "no"',
        ),
        (lambda: lamina.scratch().write("/a", "", mode=0o77777), "invalid mode"),
        (lambda: lamina.scratch().copy(lamina.scratch(), mode="u+"), None),
        (lambda: lamina.scratch().copy(lamina.scratch(), mode="rwx"), 'invalid mode "rwx"'),
        (lambda: lamina.scratch().copy(lamina.scratch(), []), "no path to copy"),
        (lambda: lamina.scratch().expose("http"), "invalid"),
        (lambda: lamina.image("UPPER"), "reference"),
        (lambda: lamina.image("a", platform="x/y/z/w"), "platform"),
        (lambda: lamina.http("ftp://x"), "not an http"),
        (lambda: lamina.git("https://x/y.git#-x"), "is not a ref"),
        (lambda: lamina.merge(), "no states"),
    ],
)
def test_wrong_arguments(make: Callable[[], Any], reason: str | None) -> None:
    if reason is None:
        make()
        return
    with pytest.raises(lamina.InvalidInput, match=reason):
        make()


def test_states_do_not_change() -> None:
    state = lamina.scratch()
    with pytest.raises(AttributeError, match="do not change"):
        state.extra = 1
    assert "test_errors.py" in repr(state)
    assert copy.copy(state) is state and copy.deepcopy([state]) == [state]
    with pytest.raises(lamina.InvalidInput, match="cannot be pickled"):
        pickle.dumps(state)


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        ("lamina.image(5)", "image: reference is 5, not a text"),
        ("lamina.image('a\\0b')", "image: reference has a null character"),
        ("lamina.local(None)", "local: path is None, not a path"),
        ("lamina.local(b'x')", "local: path is b'x', not a path"),
        ("lamina.local('.', include='*.py')", "include is a text, not a list of texts"),
        ("lamina.git(url=1)", "git: url is 1"),
        ("lamina.merge(state, 'x')", "merge: states is 'x', not a state"),
        ("lamina.from_dockerfile('.', contexts={'a': 'b'})", "each value is a state"),
        ("state.run(1)", "run: command is 1, not a text or a list of texts"),
        ("state.run(['a', 1])", r"run: command is \['a', 1\]"),
        ("state.run('a', mounts=[lamina.cache])", "mounts is .*not a list: each is a mount"),
        ("state.run('a', mounts=lamina.tmpfs('/a'))", "not a list: each is a mount"),
        ("state.run('a', mounts=[lamina.bind('x', '/y')])", "BindMount: source is 'x'"),
        ("state.run('a', mounts=[lamina.tmpfs('/a', size='1')])", "TmpfsMount: size is '1'"),
        ("state.run('a', env={'A': 1})", "run: env is {'A': 1}"),
        ("state.run('a', ulimits={'n': 5})", r"each value is \(soft, hard\)"),
        ("state.run('a', exit_codes=[True])", "exit_codes"),
        ("state.copy('src')", "copy: source is 'src', not a state"),
        ("state.copy(state, 1)", "copy: path is 1"),
        ("state.copy(state, mode=1.5)", "copy: mode is 1.5"),
        ("state.write('/a', 5)", "write: content is 5, not a text or bytes"),
        ("state.write('/a', 'b', mode='0644')", "write: mode is '0644', not an integer"),
        ("state.diff(1)", "diff: lower is 1"),
        ("state.env(A=1)", "env: variables is"),
        ("state.env([1])", "env: variables is"),
        ("state.label({'a': None})", "label: labels"),
        ("state.cmd('a b')", "cmd: words is a text, not a list of texts"),
        ("state.expose(1.5)", "expose: ports is 1.5"),
        ("state.workdir(5)", "workdir: path is 5"),
        ("state.healthcheck('x', interval='1s')", "interval is '1s', not a number"),
        ("lamina.connect(5)", "connect: address is 5"),
        ("builder.build(5)", "build: context is 5, not a path or a state"),
        ("builder.build('.', secrets={'a': 1})", "secrets"),
        ("builder.build('.', on_event=1)", "on_event is 1, not a function"),
        ("builder.build('.', push='yes')", "push is 'yes', not True or False"),
        ("builder.plan(5)", "context is 5"),
        ("builder.bake(1)", r"bake: targets is \(1,\)"),
        ("builder.bake(file='x')", 'unknown option "file"'),
        ("builder.bake(files='x')", "files is a text, not a list of paths"),
        ("builder.bake(overrides={'a.b': 1})", "overrides"),
        ("builder.explain(1)", "explain: build is 1"),
        ("builder.run('a', 'echo hi')", "command is a text, not a list of texts"),
        ("builder.run('a', volume=['x'])", 'unknown option "volume"'),
        ("builder.run('a', network='bridge')", 'unknown network "bridge"'),
        ("builder.run(1)", "image is 1"),
        ("builder.inspect(None)", "inspect: image is None"),
        ("builder.pull(b'x')", "image is b'x'"),
        ("builder.prune(keep='1GB')", "keep is '1GB', not an integer"),
        ("builder.disk_usage(1)", "filters is 1"),
    ],
)
def test_wrong_types_name_the_line(embedded: lamina.Builder, call: str, reason: str) -> None:
    """A program without type checks gets InvalidInput, located in its own text."""
    names = {"lamina": lamina, "state": lamina.scratch(), "builder": embedded}
    with pytest.raises(lamina.InvalidInput, match=reason) as caught:
        exec(compile(f"\n{call}", "program.py", "exec"), names)
    assert str(caught.value.location) == "program.py:2"


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"tag": ["x"]}, 'unknown option "tag"'),
        ({"tags": "x"}, "tags is a text"),
        ({"tags": ["UPPER"]}, "UPPER"),
        ({"outputs": ["type=tar"]}, "terminal|dest"),
        ({"build_args": {"A": 1}}, "build_args is .* not a mapping: each value is a text"),
        ({"network": "bridge"}, 'unknown network "bridge"'),
        ({"cache_to": ["type=nope,ref=x"]}, "nope"),
        ({"platforms": ["a/b/c/d"]}, "platform"),
    ],
)
def test_wrong_options(
    embedded: lamina.Builder, tmp_path: Path, options: dict[str, Any], reason: str
) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
    with pytest.raises(lamina.LaminaError, match=reason):
        embedded.build(tmp_path, **options)


def test_options_of_dockerfiles_with_a_state(builder: lamina.Builder) -> None:
    with pytest.raises(lamina.InvalidInput, match="target is an option of Dockerfiles"):
        builder.build(lamina.scratch(), target="x")


def test_an_output_that_is_not_there(builder: lamina.Builder, base: lamina.State) -> None:
    with pytest.raises(lamina.InvalidInput, match="has no output /x"):
        builder.build(base.run("true").output("/x"))


def test_directories_that_are_missing(builder: lamina.Builder, tmp_path: Path) -> None:
    with pytest.raises(lamina.NotFound, match="is not a directory"):
        builder.build(lamina.scratch().copy(lamina.local(tmp_path / "gone")))
    with pytest.raises(lamina.NotFound, match="not found"):
        builder.build(tmp_path / "gone")
    with pytest.raises(lamina.LaminaError, match="gone"):
        builder.build(lamina.oci_layout(tmp_path / "gone"))


def test_a_path_outside_of_the_context(builder: lamina.Builder, tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir()
    (tmp_path / "secret").write_text("x")
    os.symlink("../secret", tmp_path / "inside/link")
    for path in ("../secret", "link"):
        with pytest.raises(lamina.LaminaError, match="not found"):
            builder.build(lamina.scratch().copy(lamina.local(tmp_path / "inside"), path, "/x"))


def test_a_state_of_another_builder(
    embedded: lamina.Builder, base: lamina.State, tmp_path: Path
) -> None:
    embedded.build(base, tags=["mine"])
    state = embedded.image("mine")
    with (
        lamina.connect(root=tmp_path / "other") as other,
        pytest.raises(lamina.InvalidInput, match="belongs to another builder"),
    ):
        other.build(state.run("true"))


def test_a_closed_builder(tmp_path: Path) -> None:
    builder = lamina.connect(root=tmp_path / "store")
    builder.close()
    builder.close()
    for use in (builder.images, builder.history, lambda: builder.build(".")):
        with pytest.raises(lamina.InvalidInput, match="is closed"):
            use()


def said_by_a_fork(use: Callable[[], object]) -> str:
    """The error that a call raises in a forked process."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            use()
            os.write(writing, b"no error")
        except lamina.InvalidInput as error:
            os.write(writing, str(error).encode())
        finally:
            os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with open(reading, "rb") as pipe:
        return pipe.read().decode()


def test_a_forked_process(builder: lamina.Builder, base: lamina.State) -> None:
    uses: list[Callable[[], object]] = [builder.history, lambda: builder.build(base)]
    for use in uses:
        assert said_by_a_fork(use).startswith("the builder belongs to the process")
    with builder.start(base.run("echo asleep; sleep 300")) as running:
        while not isinstance(next(iter(running)), lamina.LogEvent):
            pass
        for use in (running.cancel, running.result, partial(next, iter(running))):
            assert said_by_a_fork(use).startswith("the build belongs to the process")

        def leave() -> None:
            with running:
                pass

        assert said_by_a_fork(leave) == "no error"
        assert not running.done
    builder.build(base.run("echo the builder still works"))


def test_a_container_in_a_forked_process(embedded: lamina.Builder, base: lamina.State) -> None:
    embedded.build(base, tags=["forked"])
    with embedded.start_container("forked", ["sleep", "300"]) as container:
        for use in (container.stop, container.wait, container.communicate):
            assert said_by_a_fork(use).startswith("the container belongs to the process")
        assert container.running


def test_a_builder_that_is_closed_during_a_build(base: lamina.State, tmp_path: Path) -> None:
    builder = lamina.connect(root=tmp_path / "store")
    running = builder.start(base.run("echo asleep; sleep 300"))
    while not isinstance(next(iter(running)), lamina.LogEvent):
        pass
    builder.close()
    with pytest.raises(lamina.Cancelled, match="the builder was closed"):
        running.result()


def test_an_engine_that_was_killed(tmp_path: Path, base: lamina.State) -> None:
    with lamina.connect(root=tmp_path / "store") as builder:
        with builder.start(base.run("sleep 60")) as running:
            for event in running:
                if isinstance(event, lamina.VertexEvent) and "sleep" in event.name:
                    break
            os.kill(builder._local._process.pid, 9)  # type: ignore[union-attr]
            with pytest.raises(lamina.Unavailable, match="engine process ended with status -9"):
                running.result()
        with pytest.raises(lamina.Unavailable):
            builder.images()


def test_what_a_daemon_cannot_do(remote: lamina.Builder) -> None:
    for use in (remote.images, lambda: remote.run("x"), lambda: remote.pull("x")):
        with pytest.raises(lamina.Unsupported, match="the daemon at"):
            use()


def test_connecting_fails(tmp_path: Path) -> None:
    with pytest.raises(lamina.NotFound):
        lamina.connect(f"unix://{tmp_path}/none.sock")
    with pytest.raises(lamina.InvalidInput, match="cannot be combined"):
        lamina.connect("unix:///x", root=tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(lamina.LaminaError):
        lamina.connect(root=tmp_path / "file")


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: lamina.scratch().write("/file", "\udc80"), "content is not valid Unicode"),
        (lambda: lamina.scratch().run("echo \udc80"), "command is not valid Unicode"),
        (lambda: lamina.scratch().env(A="\udc80"), "not a mapping"),
        (
            lambda: lamina.scratch().healthcheck("true", interval=float("nan")),
            "interval is nan, not a number",
        ),
        (
            lambda: lamina.scratch().healthcheck("true", timeout=float("inf")),
            "timeout is inf, not a number",
        ),
    ],
)
def test_values_that_cannot_be_encoded(make: Callable[[], object], reason: str) -> None:
    with pytest.raises(lamina.InvalidInput, match=reason) as caught:
        make()
    assert caught.value.location is not None


@pytest.mark.parametrize(
    "act",
    [
        lambda builder: builder.inspect("missing"),
        lambda builder: builder.image("missing"),
        lambda builder: builder.remove_image("missing"),
        lambda builder: builder.run("missing"),
        lambda builder: builder.explain("missing"),
        lambda builder: builder.run("missing", volumes=["/no/such/folder:/data"]),
        lambda _: lamina.image("A B"),
        lambda _: lamina.merge(),
        lambda _: lamina.connect("nothing"),
    ],
)
def test_all_errors_name_the_line(
    embedded: lamina.Builder, act: Callable[[lamina.Builder], object]
) -> None:
    with pytest.raises(lamina.LaminaError) as caught:
        act(embedded)
    place = caught.value.location
    assert place is not None and place.filename == __file__


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"input": "text"}, "input is 'text', not bytes"),
        ({"timeout": "1"}, "timeout is '1', not a number"),
    ],
)
def test_wrong_arguments_of_containers(
    embedded: lamina.Builder, options: dict[str, Any], reason: str
) -> None:
    with pytest.raises(lamina.InvalidInput, match=reason):
        embedded.run("image", ["true"], **options)


def test_a_store_with_a_colon_in_its_path(tmp_path: Path, base: lamina.State) -> None:
    with lamina.connect(root=tmp_path / "a:b") as builder:
        builder.build(base.run("true"), tags=["base"])
        assert builder.run("base", ["echo", "hello"]).stdout == b"hello\n"


def test_a_process_without_standard_streams(tmp_path: Path) -> None:
    """Such as a daemon that has closed them."""
    program = (
        "import os, sys, lamina\n"
        "for stream in range(3): os.close(stream)\n"
        "with lamina.connect(root=sys.argv[1]) as builder:\n"
        "    builder.build(lamina.scratch().write('/file', 'text'), tags=['image'])\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "store")]
    subprocess.run(command, check=True)
    with lamina.connect(root=tmp_path / "store") as builder:
        assert builder.inspect("image")

"""Wrong arguments, and builds that fail: typed errors that name the user's line."""

from __future__ import annotations

import inspect
import os
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


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"tag": ["x"]}, 'unknown option "tag"'),
        ({"tags": "x"}, "tags is a text"),
        ({"tags": ["UPPER"]}, "UPPER"),
        ({"outputs": ["type=tar"]}, "terminal|dest"),
        ({"build_args": {"A": 1}}, "the value of A is not a text"),
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


def test_a_forked_process(embedded: lamina.Builder) -> None:
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            embedded.images()
            os.write(writing, b"no error")
        except lamina.InvalidInput as error:
            os.write(writing, str(error).encode())
        finally:
            os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with open(reading, "rb") as pipe:
        assert b"forked" in pipe.read()
    embedded.images()


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

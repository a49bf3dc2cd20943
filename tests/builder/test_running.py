"""Builds that run: events, cancelling, progress displays, containers, records."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

import lamina

if TYPE_CHECKING:
    from pathlib import Path


def sleeping(events: lamina.RunningBuild) -> None:
    """Wait until the step that sleeps runs."""
    for event in events:
        if isinstance(event, lamina.LogEvent) and b"asleep" in event.data:
            return
    raise AssertionError("the build ended")


def test_events_are_iterated(builder: lamina.Builder, base: lamina.State) -> None:
    with builder.start(base.run("echo to the log")) as running:
        logs = [event.data for event in running if isinstance(event, lamina.LogEvent)]
        assert running.done
        assert running.result().metadata is not None
    assert b"".join(logs) == b"to the log\n"


def test_cancelling_ends_the_step(builder: lamina.Builder, base: lamina.State) -> None:
    running = builder.start(base.run("echo asleep; trap 'exit 3' TERM; sleep 300 & wait"))
    sleeping(running)
    running.cancel()
    with pytest.raises(lamina.Cancelled):
        running.result()


def test_leaving_the_block_cancels(builder: lamina.Builder, base: lamina.State) -> None:
    with builder.start(base.run("echo asleep; sleep 300")) as running:
        sleeping(running)
    assert running.done
    with pytest.raises(lamina.Cancelled):
        running.result()


def test_an_exception_in_the_callback_cancels(builder: lamina.Builder, base: lamina.State) -> None:
    def stop(event: object) -> None:
        if isinstance(event, lamina.LogEvent):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        builder.build(base.run("echo asleep; sleep 300"), on_event=stop)


def test_two_builds_at_once(builder: lamina.Builder, base: lamina.State) -> None:
    with (
        builder.start(base.run("echo asleep; sleep 300")) as first,
        builder.start(base.run("echo quick")) as second,
    ):
        sleeping(first)
        second.result()
        assert not first.done


def test_builds_of_many_threads(embedded: lamina.Builder, base: lamina.State) -> None:
    failures: list[BaseException] = []

    def build(number: int) -> None:
        try:
            embedded.build(base.run(f"echo {number % 3} > /n"), tags=[f"t{number}"])
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=build, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert embedded.run("t5", ["cat", "/n"]).stdout == b"2\n"


def test_terminal_progress(embedded: lamina.Builder, base: lamina.State, tmp_path: Path) -> None:
    with (
        open(tmp_path / "log", "w") as file,
        lamina.terminal_progress("plain", file) as progress,
    ):
        embedded.build(base.run("echo shown"), on_event=progress)
    text = (tmp_path / "log").read_text()
    assert "RUN echo shown" in text


def test_notebook_progress_is_escaped(embedded: lamina.Builder, base: lamina.State) -> None:
    progress = lamina.NotebookProgress()
    with pytest.raises(lamina.CommandFailed):
        embedded.build(base.run("echo '<script>x</script>'; exit 1"), on_event=progress)
    html = progress._repr_html_()
    assert "&lt;script&gt;" in html and "<script>" not in html
    assert "failed" in html and "cached" in html


def test_containers(embedded: lamina.Builder, base: lamina.State, tmp_path: Path) -> None:
    embedded.build(base.env(A="1"), tags=["c"])
    done = embedded.run("c", ["sh", "-c", "cat; echo $A >&2; exit 4"], input=b"in", env={"A": "2"})
    assert done == lamina.CompletedContainer(4, b"in", b"2\n")
    (tmp_path / "file").write_text("volume")
    done = embedded.run("c", ["cat", "/v/file"], volumes=[f"{tmp_path}:/v:ro"])
    assert done.stdout == b"volume"
    with pytest.raises(lamina.NotFound):
        embedded.run("missing")
    with pytest.raises(lamina.NotFound):
        embedded.run("c", ["/no/such/command"])
    with pytest.raises(TimeoutError):
        embedded.run("c", ["sleep", "60"], timeout=0.1)


def test_a_container_is_stopped(embedded: lamina.Builder, base: lamina.State) -> None:
    embedded.build(base, tags=["c"])
    script = "trap 'echo bye; exit 5' TERM; echo up; while :; do sleep 0.05; done"
    with embedded.start_container("c", ["sh", "-c", script]) as container:
        assert container.stdout is not None
        assert container.stdout.readline() == b"up\n"
        container.stop()
        assert container.stdout.read() == b"bye\n"
        assert container.wait() == 5


def test_images(embedded: lamina.Builder, base: lamina.State) -> None:
    embedded.build(base, tags=["one:1", "two:2"])
    names = {image.name for image in embedded.images()}
    assert {"docker.io/library/one:1", "docker.io/library/two:2"} <= names
    embedded.remove_image("two:2")
    assert "docker.io/library/two:2" not in {image.name for image in embedded.images()}
    with pytest.raises(lamina.NotFound):
        embedded.inspect("two:2")


def test_records_usage_and_pruning(builder: lamina.Builder, base: lamina.State) -> None:
    before = len(builder.history())
    builder.build(base.run("echo counted"))
    rows = builder.history()
    assert len(rows) == before + 1 and rows[0].status == "completed"
    assert builder.disk_usage()
    assert builder.disk_usage("type=source.git.checkout") == []
    outcome = builder.prune(all=True)
    assert outcome.records


@pytest.mark.parametrize("builder", ["embedded", "remote"], indirect=True)
def test_a_plan(builder: lamina.Builder, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY file /\n")
    (tmp_path / "file").write_text("1")
    builder.build(tmp_path)
    assert [step.planned.name for step in builder.plan(tmp_path).steps] == ["CACHED"]
    (tmp_path / "file").write_text("2")
    [step] = builder.plan(tmp_path).steps
    assert step.planned is lamina.Planned.DUE and step.reason == "file changed"


def test_a_plan_of_states(
    embedded: lamina.Builder, remote: lamina.Builder, base: lamina.State
) -> None:
    before = len(embedded.history())
    state = base.run("echo planned").run("echo after it")
    embedded.build(base)
    plan = embedded.plan(state)
    assert [(step.name, step.planned) for step in plan.steps][-2:] == [
        ("RUN echo planned", lamina.Planned.DUE),
        ("RUN echo after it", lamina.Planned.DUE),
    ]
    assert len(embedded.history()) == before + 1
    embedded.build(state)
    planned = {step.name: step.planned for step in embedded.plan(state.run("echo new")).steps}
    assert planned["RUN echo new"] is lamina.Planned.DUE
    assert planned["RUN echo after it"] is lamina.Planned.CACHED
    with pytest.raises(lamina.Unsupported, match="cannot plan builds of states"):
        remote.plan(state)


@pytest.mark.parametrize("builder", ["embedded", "remote"], indirect=True)
def test_an_explanation(builder: lamina.Builder, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY file /\n")
    for text in ("1", "2"):
        (tmp_path / "file").write_text(text)
        builder.build(tmp_path)
    latest, earlier = (row.ref for row in builder.history()[:2])
    found = builder.explain()
    assert (found.ref, found.keys_recorded) == (latest, True)
    [step] = found.steps
    assert step.explanation == "file changed" and not step.cached
    assert step.compared_with == earlier
    [cause] = step.causes
    assert (cause["cause"], cause["paths"][0]["path"]) == ("filesChanged", "file")
    assert builder.explain(latest, against=earlier, step="COPY") == found
    assert builder.explain(earlier).ref == earlier
    with pytest.raises(lamina.NotFound):
        builder.explain("unknown")
    with pytest.raises(lamina.InvalidInput, match="with itself"):
        builder.explain(latest, against=latest)


def test_importing_is_quick_and_changes_nothing() -> None:
    code = (
        "import sys, os, threading; before = set(sys.modules); namespace = os.readlink("
        "'/proc/self/ns/mnt'); import lamina;"
        " print(*sorted(set(sys.modules) - before));"
        " print(threading.active_count(), os.readlink('/proc/self/ns/mnt') == namespace)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.splitlines() == ["__future__ lamina", "1 True"], done.stderr


def test_connecting_keeps_the_mount_namespace(embedded: lamina.Builder) -> None:
    parent = os.readlink("/proc/self/ns/mnt")
    embedded.images()
    assert os.readlink("/proc/self/ns/mnt") == parent
    assert embedded._local is not None
    engine = embedded._local._process.pid
    assert os.readlink(f"/proc/{engine}/ns/mnt") != parent


def test_the_engine_ends_with_its_process(tmp_path: Path) -> None:
    code = (
        "import lamina, os, sys; b = lamina.connect(root=sys.argv[1]);"
        " print(b._local._process.pid, flush=True); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "store")], capture_output=True, text=True
    )
    engine = int(done.stdout)
    deadline = threading.Event()
    for _ in range(200):
        if not os.path.exists(f"/proc/{engine}"):
            return
        deadline.wait(0.1)
    raise AssertionError("the engine still runs")


def test_a_dockerfile_as_bytes_and_by_name(builder: lamina.Builder, tmp_path: Path) -> None:
    (tmp_path / "other").write_text("FROM scratch\nCOPY other /named\n")
    output = [f"type=local,dest={tmp_path}/files"]
    builder.build(tmp_path, dockerfile=b"FROM scratch\nCOPY other /bytes\n", outputs=output)
    builder.build(tmp_path, dockerfile="other", outputs=output)
    assert {"bytes", "named"} <= set(os.listdir(tmp_path / "files"))

"""`lamina history` on a store and on a daemon."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from tests.commands import Lamina, RemoteLamina
from tests.daemon_process import DaemonProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_DOCKERFILE = """
FROM base
COPY src /src
ARG VERSION
RUN seq 3000 && echo "version $VERSION" >&2
"""


@pytest.fixture(params=["local", "daemon"])
def builder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Lamina]:
    """The command on a separate store, or with a daemon."""
    if request.param == "local":
        yield Lamina(tmp_path / "store")
        return
    with DaemonProcess(tmp_path / "store") as daemon:
        yield RemoteLamina(tmp_path, daemon.address)


def run(lamina: Lamina, *args: str) -> str:
    done = lamina(*args)
    assert done.code == 0, done.err
    return done.out


def listed(lamina: Lamina, *args: str) -> list[dict[str, Any]]:
    out = run(lamina, "history", "ls", "--format=json", *args)
    return [json.loads(line) for line in out.splitlines()]


def test_ls_inspect_logs_rm(builder: Lamina, context: Callable[..., Path]) -> None:
    folder = context(_DOCKERFILE, {"src/a": "a"})
    builder.build(folder, "--build-arg=VERSION=1", "--label=who=me")
    (folder / "Dockerfile").write_text((folder / "Dockerfile").read_text() + "RUN exit 3\n")
    assert builder("build", "--build-arg=VERSION=1", str(folder)).code == 1

    [failed, first] = listed(builder)
    assert (failed["status"], first["status"]) == ("Error", "Completed")
    assert (first["total_steps"], first["cached_steps"]) == (first["completed_steps"], 0)
    assert failed["cached_steps"] == 4
    assert first["completed_at"] > first["created_at"]
    assert listed(builder, "--filter=status=error") == [failed]
    assert listed(builder, "--filter=status!=error", "--filter=duration<10m") == [first]
    assert listed(builder, "--filter=startedAt<1h") == []
    table = run(builder, "history", "ls").splitlines()
    assert table[0].split("   ")[0] == "BUILD ID"
    assert [line.split()[0] for line in table[1:]] == [failed["ref"], first["ref"]]

    shown = json.loads(run(builder, "history", "inspect", "^1", "--format=json"))
    assert (shown["Ref"], shown["Status"]) == (first["ref"], "completed")
    assert shown["BuildArgs"] == [{"Name": "VERSION", "Value": "1"}]
    assert shown["Labels"] == [{"Name": "who", "Value": "me"}]
    [step] = [step for step in shown["Steps"] if "seq 3000" in step["Name"]]
    assert (step["Status"], step["Cache"]["Hit"]) == ("done", False)
    assert step["Location"]["Filename"] == "Dockerfile"
    pretty = run(builder, "history", "inspect")
    assert f"Ref:        {failed['ref']}" in pretty
    assert ">>> RUN exit 3" in pretty and "exit code: 3" in pretty
    assert step["Cache"]["Key"][:19] in pretty

    logs = run(builder, "history", "logs", first["ref"][:12])
    number = step["Number"]
    output = [line for line in logs.splitlines() if line.startswith(f"#{number} ")][1:-1]
    lines = [line.split(" ", 2)[2] for line in output]
    assert lines.count("version 1") == 1
    assert [line for line in lines if line.isdigit()] == [str(n) for n in range(1, 3001)]
    one = run(builder, "history", "logs", "^1", "--step", str(number))
    assert one == run(builder, "history", "logs", "^1", "--step=seq 3000")
    assert one.startswith(f"#{number} ") and one.count("\n") == 3003
    raw = [json.loads(line) for line in run(builder, *_RAW, "^1").splitlines()]
    data = b"".join(base64.b64decode(log["data"]) for part in raw for log in part.get("logs", ()))
    assert data.startswith(b"1\n2\n") and b"version 1\n" in data

    assert run(builder, "history", "rm", first["ref"]) == first["ref"] + "\n"
    assert listed(builder) == [failed]
    assert json.loads(run(builder, "history", "rm", "--all", "--format=json")) == {
        "ref": failed["ref"]
    }
    assert listed(builder) == []


_RAW = ("history", "logs", "--progress=rawjson")


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("ls", "a"), "takes no arguments"),
        (("ls", "--filter", "state=x"), 'invalid filter "state=x"'),
        (("ls", "--filter", "status=bad"), "a status is running, completed"),
        (("ls", "--format", "xml"), 'unknown format "xml"'),
        (("lss",), 'did you mean "ls"?'),
        (("inspect",), "no build is recorded"),
        (("logs", "--filter", "ref=1"), "has no flag --filter"),
        (("logs", "--progress", "tty"), 'invalid argument "tty"'),
        (("rm",), "needs names of builds, or --all"),
        (("rm", "--all", "x"), "needs names of builds, or --all"),
        (("rm", "x"), "no build is recorded"),
    ],
)
def test_bad_input(lamina: Lamina, words: tuple[str, ...], text: str) -> None:
    done = lamina("history", *words)
    assert done.code == 1
    assert text in done.err and "Traceback" not in done.err


def test_a_running_and_a_killed_build(lamina: Lamina, context: Callable[..., Path]) -> None:
    folder = context("FROM base\nRUN echo begun; sleep 60\n")
    build = lamina.command("build", "--progress=plain", str(folder))
    logs = lamina.command("history", "logs")
    with ExitStack() as owned:
        building = owned.enter_context(subprocess.Popen(build, stderr=subprocess.PIPE, text=True))
        owned.callback(building.kill)
        assert building.stderr is not None
        assert any(line.endswith(" begun\n") for line in building.stderr)
        [row] = listed(lamina)
        assert row["status"] == "Running" and "completed_at" not in row
        following = owned.enter_context(subprocess.Popen(logs, stdout=subprocess.PIPE, text=True))
        owned.callback(following.kill)
        assert following.stdout is not None
        assert any(line.endswith(" begun\n") for line in following.stdout)
        shown = json.loads(run(lamina, "history", "inspect", "--format=json"))
        assert [step["Status"] for step in shown["Steps"]][-1] == "running"
        done = lamina("history", "rm", "^")
        assert done.code == 1 and "is running" in done.err
        building.send_signal(signal.SIGKILL)
        building.wait()
        assert following.wait(60) == 0
    [row] = listed(lamina)
    assert row["status"] == "Error"
    assert "was killed" in run(lamina, "history", "inspect")
    assert " begun\n" in run(lamina, "history", "logs")


def test_local_is_the_repository_of_the_directory(
    lamina: Lamina, context: Callable[..., Path], tmp_path: Path
) -> None:
    folder = context("FROM base\n")
    other = tmp_path / "context2"
    shutil.copytree(folder, other)
    git = ("git", "-C", str(folder))
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "remote", "add", "origin", "https://h.example/app.git"], check=True)
    lamina.build(other)
    lamina.build(folder)
    lamina.build(folder, "--provenance=true", "-o", f"type=oci,dest={tmp_path}/a.tar")
    command = lamina.command("history", "ls", "--format=json", "--local")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=True)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["name"] for row in rows] == ["context", "context"]
    assert rows[0]["repository"] == "https://h.example/app.git"
    outside = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True)
    assert outside.returncode == 1 and b"not in a git repository" in outside.stderr


def test_resources_of_steps_side_by_side(builder: Lamina, context: Callable[..., Path]) -> None:
    busy = "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done"
    builder.build(
        context(
            f"FROM base AS busy\nRUN touch /busy; {busy}\n"
            "FROM base AS idle\nRUN --network=none touch /idle; sleep 1\n"
            "FROM base\nCOPY --from=busy /busy /\nCOPY --from=idle /idle /\n"
        )
    )
    shown = json.loads(run(builder, "history", "inspect", "--format=json"))
    used = {
        key: step["Resources"]
        for step in shown["Steps"]
        for key in ("busy", "idle")
        if f"touch /{key}" in step["Name"]
    }
    assert used["busy"]["CPUTime"] > 2 * used["idle"]["CPUTime"] > 0
    assert used["busy"]["CPUTime"] > 50_000_000
    assert "BytesSent" not in used["busy"] and used["idle"]["BytesSent"] == 0
    assert shown["Resources"]["CPUTime"] >= sum(each["CPUTime"] for each in used.values())
    assert not any("Resources" in step for step in shown["Steps"] if "COPY" in step["Name"])
    pretty = run(builder, "history", "inspect")
    assert "Resources:" in pretty and "s CPU, " in pretty
    raw = [json.loads(line) for line in run(builder, *_RAW).splitlines()]
    assert {"vertex", "cpuTime"} < set(
        next(part["resources"] for part in raw if "resources" in part)[0]
    )
    assert "cpu.time_ns" in run(builder, "history", "trace")


def test_attachments(builder: Lamina, context: Callable[..., Path]) -> None:
    folder = context("FROM base\nRUN echo one\n")
    builder.build(folder, "--provenance=mode=max", "-o", "type=image,name=it")
    listed = json.loads(run(builder, "history", "inspect", "--format={{json .Attachments}}"))
    attachment = ("history", "inspect", "attachment")
    for each in listed:
        assert run(builder, *attachment, "^", each["Digest"])
    index = json.loads(run(builder, *attachment, "--type=index"))
    manifest = json.loads(run(builder, *attachment, "^", "--type", "manifest"))
    assert manifest["config"]["digest"] in {each["Digest"] for each in listed}
    image = json.loads(run(builder, *attachment, "--type=image"))
    platform = f"{image['os']}/{image['architecture']}"
    assert index["manifests"][0]["platform"]["os"] == image["os"]
    provenance = json.loads(run(builder, *attachment, "--type=provenance"))
    assert "buildDefinition" in provenance.get("predicate", provenance)
    by_platform = run(builder, *attachment, "--platform", platform, "--type=manifest")
    assert json.loads(by_platform) == manifest
    for words, text in (
        ((), "needs --type, --platform or a digest"),
        (("--type=sbom",), "has no such attachment"),
        (("^", "sha256:x"), "is not a valid sha256 digest"),
        (("^", "sha256:" + "0" * 64), "0000"),
        (("^", "x", "y"), "at most a build and a digest"),
        (("--step=1",), "no flag --step"),
    ):
        done = builder(*attachment, *words)
        assert done.code == 1 and text in done.err, words


def test_templates(builder: Lamina, context: Callable[..., Path]) -> None:
    builder.build(context("FROM base\nRUN echo one\n"), "--label=who=me")
    [row] = listed(builder)
    assert run(builder, "history", "ls", "--format={{.Ref}}|{{.Status}}") == (
        f"{row['ref']}|Completed\n"
    )
    titles, line = run(
        builder, "history", "ls", "--format", r"table {{.Ref}}\t{{upper .Status}}"
    ).splitlines()
    assert (titles.split(), line.split()) == (
        ["BUILD", "ID", "STATUS"],
        [row["ref"], "COMPLETED"],
    )
    assert titles.index("STATUS") == line.index("COMPLETED")
    assert json.loads(run(builder, "history", "ls", "--format={{json .}}")) == row
    template = (
        "{{range .Steps}}{{if .Cache}}{{.Name}};{{end}}{{end}}"
        "{{(index .Labels 0).Value}} {{.Target}}|{{.Error}}"
    )
    shown = run(builder, "history", "inspect", "--format", template)
    assert "RUN echo one;" in shown and shown.endswith(";me |<no value>\n")
    done = builder("history", "inspect", "--format={{.Nope}}")
    assert done.code == 1 and "can't evaluate field Nope" in done.err
    done = builder("history", "ls", "--format={{if}}")
    assert done.code == 1 and "line 1, column 3: missing value for if" in done.err


def test_trace(builder: Lamina, context: Callable[..., Path], tmp_path: Path) -> None:
    builder.build(context("FROM base\nRUN echo traced\n"))
    document = json.loads(run(builder, "history", "trace"))
    [scope] = document["resourceSpans"][0]["scopeSpans"]
    build, *steps = scope["spans"]
    [step] = [span for span in steps if "echo traced" in span["name"]]
    assert step["parentSpanId"] == build["spanId"]
    assert int(build["startTimeUnixNano"]) <= int(step["startTimeUnixNano"])
    assert "cache.key" in {attribute["key"] for attribute in step["attributes"]}
    path = tmp_path / "trace.json"
    assert run(builder, "history", "trace", "--format=chrome", "-o", str(path)) == ""
    events = json.loads(path.read_text())["traceEvents"]
    assert [e["args"]["vertex"] for e in events if "echo traced" in e["name"]]
    done = builder("history", "trace", "-o", str(tmp_path / "none" / "x"))
    assert done.code == 1 and "write the trace" in done.err

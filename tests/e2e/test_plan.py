"""`lamina plan` and `lamina build --plan`."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
from typing import TYPE_CHECKING, Any

from lamina.records.table import RecordTable
from lamina.stores.store import open_store
from tests.commands import RemoteLamina
from tests.daemon_process import DaemonProcess
from tests.real_registry import running_registry

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.commands import Lamina

_STAGES = (
    "FROM base AS one\nCOPY a /a\nRUN cat /a | cut -c1 > /first; echo ran\n"
    "FROM base\nCOPY --from=one /first /\nRUN echo end\n"
)


def plan_of(lamina: Lamina, *args: str) -> dict[str, Any]:
    done = lamina("plan", "--format=json", *args)
    assert done.code == 0, done.err
    found: dict[str, Any] = json.loads(done.out)
    return found


def steps_of(plan: dict[str, Any]) -> dict[str, str]:
    return {step["name"].partition("] ")[2]: step["plan"] for step in plan["steps"]}


def test_nothing_runs_and_nothing_is_recorded(lamina: Lamina, context: Callable[..., Path]) -> None:
    folder = context(_STAGES, {"a": "1"})
    plan = plan_of(lamina, str(folder))
    assert {step["reason"] for step in plan["steps"] if step["plan"] == "run"} == {
        "never built here"
    }
    assert plan["expectedSeconds"] == 0
    with open_store(str(lamina.root)) as store:
        assert RecordTable(store).rows() == []
    assert "ran" in lamina.build(folder)
    assert set(steps_of(plan_of(lamina, str(folder))).values()) == {"cached"}


def test_what_depends_on_a_steps_output_is_not_guessed(
    lamina: Lamina, context: Callable[..., Path]
) -> None:
    lamina.build(context(_STAGES, {"a": "1x"}))
    folder = context(_STAGES, {"a": "1yy"})
    plan = plan_of(lamina, str(folder))
    run = "RUN cat /a | cut -c1 > /first; echo ran"
    steps = steps_of(plan)
    assert steps["COPY a /a"] == steps[run] == "run"
    assert steps["COPY --from=one /first /"] == steps["RUN echo end"] == "depends"
    by_name = {step["name"].partition("] ")[2]: step for step in plan["steps"]}
    assert by_name["COPY a /a"]["reason"] == "a changed"
    assert by_name["RUN echo end"]["dependsOn"] == [by_name[run]["name"]]
    assert by_name[run]["lastSeconds"] > 0
    assert plan["atMostSeconds"] >= plan["expectedSeconds"] >= by_name[run]["lastSeconds"]
    log = lamina.build(folder)
    assert log.count("CACHED") == 4  # the output was the same, so the last two were cached


def test_no_cache_keeps_the_cache_mounts(lamina: Lamina, context: Callable[..., Path]) -> None:
    text = "FROM base\nRUN --mount=type=cache,target=/c,id=kept echo x >> /c/f; wc -l < /c/f\n"
    folder = context(text)
    lamina.build(folder)
    plan = plan_of(lamina, "--no-cache", str(folder))
    assert {step["reason"] for step in plan["steps"]} == {"--no-cache"}
    assert "kept" in lamina("cache", "ls").out


def test_what_is_pulled_and_pushed(
    machine: Callable[[str], Lamina], context: Callable[..., Path], tmp_path: Path
) -> None:
    with running_registry(tmp_path / "registry") as host:
        machine("publisher").build(
            context("RUN echo made > /file\n"), "--push", "-t", f"{host}/b:1"
        )
        user = tmp_path / "user"
        user.mkdir()
        (user / "Dockerfile").write_text(f"FROM {host}/b:1\nRUN cat /file\n")
        here = machine("here")
        done = here("build", "--plan", "--push", "-t", f"{host}/c", str(user))
        assert done.code == 0, done.err
        assert re.search(rf"^pull {host}/b:1 \([\d.]+MB\)$", done.out, re.MULTILINE)
        assert f"\npush {host}/c\n" in done.out
        assert "2 to run, 0 cached" in done.out
        assert "2 steps have never run here" in done.out
        here.build(user, "--push", "-t", f"{host}/c")
        (user / "Dockerfile").write_text(f"FROM {host}/b:1\nRUN cat /file; true\n")
        plan = plan_of(here, "--push", "-t", f"{host}/c", str(user))
        assert plan["pull"] == []
        [pushed] = plan["push"]
        assert pushed["name"] == f"{host}/c"
        assert pushed["size"] > 0


def test_what_cannot_be_planned(lamina: Lamina, context: Callable[..., Path]) -> None:
    folder = context("FROM base\nCOPY missing /\n")
    done = lamina("plan", str(folder))
    assert done.code == 1
    assert "missing" in done.err
    remote = lamina("plan", str(folder), env={"LAMINA_HOST": "unix:///nowhere"})
    assert remote.code == 1


def test_a_daemon_plans(tmp_path: Path, context: Callable[..., Path]) -> None:
    with DaemonProcess(tmp_path / "daemon") as daemon:
        remote = RemoteLamina(tmp_path, daemon.address)
        plan = plan_of(remote, str(context(_STAGES, {"a": "1x"})))
        assert {step["reason"] for step in plan["steps"] if step["plan"] == "run"} == {
            "never built here"
        }
        assert remote("history", "ls", "--format=json").out == ""
        remote.build(context(_STAGES, {"a": "1x"}))
        folder = context(_STAGES, {"a": "1yy"})
        plan = plan_of(remote, str(folder))
        steps = steps_of(plan)
        run = "RUN cat /a | cut -c1 > /first; echo ran"
        assert steps["COPY a /a"] == steps[run] == "run"
        assert steps["RUN echo end"] == "depends"
        by_name = {step["name"].partition("] ")[2]: step for step in plan["steps"]}
        assert by_name["COPY a /a"]["reason"] == "a changed"
        assert by_name[run]["lastSeconds"] > 0
        text = remote("build", "--plan", str(folder))
        assert text.code == 0
        assert "2 to run, 2 cached, 2 not known before others have run" in text.out
        missing = remote("plan", str(context("FROM base\nCOPY missing /\n")))
        assert missing.code == 1
        assert "missing" in missing.err


def test_a_signal_ends_a_plan_with_its_own_status(
    lamina: Lamina, context: Callable[..., Path]
) -> None:
    folder = context("FROM base\nADD http://127.0.0.1:{port}/file /\n")
    with socket.create_server(("127.0.0.1", 0)) as server:
        text = (folder / "Dockerfile").read_text()
        port = server.getsockname()[1]
        (folder / "Dockerfile").write_text(text.replace("{port}", str(port)))
        with subprocess.Popen(
            lamina.command("plan", str(folder)), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        ) as process:
            server.settimeout(60)
            connection, _ = server.accept()  # the plan waits for the answer
            with connection:
                process.send_signal(signal.SIGTERM)
                _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert err == b"ERROR: interrupted\n"

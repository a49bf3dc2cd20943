"""`lamina plan` and `lamina build --plan`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from lamina.records.table import RecordTable
from lamina.stores.store import open_store
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
        assert f"\npull {host}/b:1\n" in done.out
        assert f"\npush {host}/c" in done.out
        assert "2 to run, 0 cached" in done.out
        assert "2 steps have never run here" in done.out


def test_what_cannot_be_planned(lamina: Lamina, context: Callable[..., Path]) -> None:
    folder = context("FROM base\nCOPY missing /\n")
    done = lamina("plan", str(folder))
    assert done.code == 1
    assert "missing" in done.err
    remote = lamina("plan", str(folder), env={"LAMINA_HOST": "unix:///nowhere"})
    assert remote.code == 1

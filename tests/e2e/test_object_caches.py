"""Caches in object stores: a build on one machine, and on another one with an empty store."""

from __future__ import annotations

import json
import os
from contextlib import ExitStack
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.actions_server import ActionsServer, running_server, token
from tests.e2e.test_caches import STAGES, cached
from tests.object_servers import (
    AZURE_ACCOUNT,
    AZURE_KEY,
    BUCKET,
    KEYS,
    REGION,
    running_azurite,
    running_gcs,
    running_s3rver,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from lamina.objectstores.s3 import S3Config
    from tests.commands import Lamina


class Place(NamedTuple):
    """A cache: its attributes, and the environment with its credentials."""

    attributes: str
    env: dict[str, str]


def s3_place(config: S3Config) -> Place:
    attributes = f"type=s3,bucket={BUCKET},region={REGION},endpoint_url={config.endpoint}"
    keys = {"AWS_ACCESS_KEY_ID": KEYS.access_key, "AWS_SECRET_ACCESS_KEY": KEYS.secret_key}
    return Place(f"{attributes},use_path_style=true", keys)


def actions_place(server: ActionsServer, *scopes: tuple[str, int]) -> Place:
    runtime = token(*(scopes or (("refs/heads/main", 3),)))
    return Place(
        "type=gha", {"ACTIONS_RUNTIME_TOKEN": runtime, "ACTIONS_RESULTS_URL": server.url + "/"}
    )


@pytest.fixture(scope="module", params=["s3", "azblob", "gcs", "gha"])
def place(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp(request.param)
    with ExitStack() as stack:
        match request.param:
            case "s3":
                yield s3_place(stack.enter_context(running_s3rver(folder)))
            case "azblob":
                azure = stack.enter_context(running_azurite(folder))
                attributes = f"type=azblob,account_url={azure.url},account_name={AZURE_ACCOUNT}"
                yield Place(f"{attributes},secret_access_key={AZURE_KEY}", {})
            case "gcs":
                gcs = stack.enter_context(running_gcs(folder))
                yield Place(f"type=gcs,bucket={BUCKET},endpoint_url={gcs.endpoint}", {})
            case _:
                yield actions_place(stack.enter_context(running_server()))


MOUNTED = STAGES + (
    "FROM base AS mounted\n"
    "COPY input /input\n"
    "RUN --mount=type=cache,target=/m,id=kept "
    "cp /input /m/$(cat /input); ls /m > /seen; echo seen: $(cat /seen | tr '\\n' ' ')\n"
)


def test_steps_and_mounts_are_found_on_another_machine(
    place: Place, machine: Callable[[str], Lamina], context: Callable[..., Path]
) -> None:
    folder = context(STAGES, {"input": "one"})
    export = f"--cache-to={place.attributes},mode=max"
    first = machine("a").build(folder, export, env=place.env)
    assert not cached(first)
    second = machine("b").build(folder, f"--cache-from={place.attributes}", env=place.env)
    assert len(cached(second)) == 6, second

    folder = context(MOUNTED, {"input": "one"})
    mounted = f"{place.attributes},name=mounted" if "gha" not in place.attributes else "type=gha"
    mounted += ",mounts=true"
    machine("a").build(folder, f"--cache-to={mounted},mode=max", env=place.env)
    (folder / "input").write_text("two")
    log = machine("c").build(
        folder, f"--cache-from={mounted}", f"--cache-to={mounted},mode=max", env=place.env
    )
    assert "seen: one two" in log
    (folder / "input").write_text("three")
    log = machine("d").build(folder, f"--cache-from={mounted}", env=place.env)
    assert "seen: one three two" in log


def test_branches_read_the_caches_of_the_default_branch(
    machine: Callable[[str], Lamina], context: Callable[..., Path]
) -> None:
    folder = context(STAGES, {"input": "one"})
    with running_server() as server:
        main = actions_place(server)
        machine("a").build(folder, "--cache-to=type=gha,mode=max", env=main.env)
        scopes = (("refs/heads/feature", 3), ("refs/heads/main", 1))
        branch = actions_place(server, *scopes)
        log = machine("b").build(
            folder, "--cache-from=type=gha", "--cache-to=type=gha,mode=max", env=branch.env
        )
        assert len(cached(log)) == 6
        other = actions_place(server, ("refs/heads/other", 3))
        log = machine("c").build(folder, "--cache-from=type=gha", env=other.env)
        assert not cached(log)
        fork = actions_place(server, ("refs/pull/7/merge", 1), ("refs/heads/main", 1))
        log = machine("d").build(
            folder, "--cache-from=type=gha", "--cache-to=type=gha", env=fork.env
        )
        assert len(cached(log)) == 6
        assert "the token may not write" in log


def test_a_job_without_a_token_builds_without_the_cache(
    lamina: Lamina, context: Callable[..., Path]
) -> None:
    folder = context(STAGES, {"input": "one"})
    clean = {name: "" for name in os.environ if name.startswith("ACTIONS_")}
    log = lamina.build(folder, "--cache-from=type=gha", "--cache-to=type=gha", env=clean)
    assert "there is no token for the GitHub Actions cache" in log


def test_damaged_blobs_are_skipped(
    machine: Callable[[str], Lamina], context: Callable[..., Path], tmp_path: Path
) -> None:
    folder = context(STAGES, {"input": "one"})
    with running_server() as server:
        env = actions_place(server).env
        machine("a").build(folder, "--cache-to=type=gha,mode=max", env=env)
        for entry in server.entries:
            if entry.key.startswith("buildkit-blob") and entry.data:
                entry.data = b"poisoned" + entry.data[8:]
        log = machine("b").build(
            folder, "--cache-from=type=gha", "--output", str(tmp_path / "o"), env=env
        )
        assert not cached(log)
        assert (tmp_path / "o/last").read_text() == "the same\n"


def test_results_that_are_quicker_made_than_moved_are_left_out(
    machine: Callable[[str], Lamina], context: Callable[..., Path], tmp_path: Path
) -> None:
    stages = (
        "FROM base AS large\nRUN head -c 9000000 /dev/urandom > /large\n"
        "FROM base AS slow\nRUN sleep 2; echo slow > /slow; echo more > /more\n"
        "FROM base\nCOPY --from=slow /slow /slow\n"
        "RUN --mount=from=large,target=/l test -s /l/large\n"
    )
    folder = context(stages)
    with running_server() as server:
        env = actions_place(server).env
        report = tmp_path / "report.json"
        log = machine("a").build(
            folder, "--cache-to=type=gha,mode=auto", f"--cache-report={report}", env=env
        )
        (export,) = json.loads(report.read_text())["exports"]
        chosen = {"sleep" in step["step"]: step["exported"] for step in export["steps"]}
        assert chosen == {True: True, False: False}, export
        assert "leaving out" in log
        log = machine("b").build(folder, "--cache-from=type=gha", env=env)
        assert any("sleep 2" in step for step in cached(log))

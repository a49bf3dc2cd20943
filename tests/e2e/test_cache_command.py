"""`lamina cache`: listing, exporting and importing cache mounts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.real_registry import running_registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.commands import Lamina

STEP = (
    "COPY input /input\n"
    "RUN --mount=type=cache,target=/root/.cache --mount=type=cache,target=/p,id=packages"
    " cat /input >> /p/made; cat /p/made; head -c 100000 /dev/zero > /root/.cache/file\n"
)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_registry(tmp_path_factory.mktemp("registry")) as host:
        yield host


def listed(lamina: Lamina) -> dict[str, dict[str, object]]:
    done = lamina("cache", "ls", "--format", "json")
    assert done.code == 0, done.err
    return {entry["Name"]: entry for entry in map(json.loads, done.out.splitlines())}


@pytest.mark.parametrize("kind", ["registry", "local"])
def test_mounts_are_listed_sent_fetched_and_removed(
    kind: str,
    registry: str,
    machine: Callable[[str], Lamina],
    context: Callable[..., Path],
    tmp_path: Path,
) -> None:
    place = f"type=registry,ref={registry}/by/hand:1"
    to = place if kind == "registry" else f"type=local,dest={tmp_path}/cache"
    source = place if kind == "registry" else f"type=local,src={tmp_path}/cache"
    folder = context(STEP, {"input": "one\n"})
    a, b = machine("a"), machine("b")
    assert listed(a) == {}
    a.build(folder)
    here = listed(a)
    assert set(here) == {"packages", "root/.cache"}
    size = here["root/.cache"]["Size"]
    assert isinstance(size, int)
    assert size >= 100_000
    assert here["packages"]["From"] == ""
    assert here["packages"]["UsageCount"]
    done = a("cache", "export", "packages", "--to", to)
    assert done.code == 0, done.err
    assert done.out.startswith("packages: ")
    assert a("cache", "export", "--to", to).out.count(" new\n") == 2

    done = b("cache", "import", "packages", "--from", source)
    assert done.code == 0, done.err
    there = listed(b)
    assert set(there) == {"packages"}
    assert str(there["packages"]["From"]).endswith("hand:1" if kind == "registry" else "cache")
    assert "packages" in b("cache", "ls").out
    (folder / "input").write_text("two\n")
    assert "one\n" in b.build(folder).replace("\r", "")
    # An import replaces the local content.
    assert b("cache", "import", "/packages", "/root/.cache", "--from", source).code == 0
    (folder / "input").write_text("three\n")
    log = b.build(folder)
    assert " one\n" in log
    assert " two\n" not in log
    assert b("cache", "rm", "packages").out == "packages\n"
    assert set(listed(b)) == {"root/.cache"}
    assert b("cache", "rm", "--all").code == 0
    assert listed(b) == {}


def test_errors(
    registry: str, machine: Callable[[str], Lamina], context: Callable[..., Path]
) -> None:
    a = machine("a")
    a.build(context(STEP, {"input": "one\n"}))
    place = f"type=registry,ref={registry}/never/there"
    for words, said in (
        (["rm", "nothing"], "no cache mount nothing"),
        (["rm"], "--all"),
        (["rm", "packages", "--all"], "--all"),
        (["export", "packages"], "--to"),
        (["export", "nothing", "--to", place], "no cache mount nothing"),
        (["export", "packages", "--to", "type=inline"], "inline"),
        (["export", "packages", "--to", f"{place},mode=max"], "mode"),
        (["import", "packages"], "--from"),
        (["import", "--from", place], "names"),
        (["import", "packages", "--from", place], "has no cache mount packages"),
        (["import", "packages", "--from", "type=registry,ref=127.0.0.1:1/x"], "127.0.0.1:1"),
        (["list"], 'unknown command "cache list"'),
    ):
        done = a("cache", *words)
        assert done.code != 0, words
        assert said in done.err, done.err
        assert "Traceback" not in done.err
    # None of these commands has changed the local content.
    assert set(listed(a)) == {"packages", "root/.cache"}

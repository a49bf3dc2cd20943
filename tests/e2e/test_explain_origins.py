"""`lamina explain`: causes outside of the context and the Dockerfile, and pairs of causes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.test_explain import explained
from tests.real_registry import running_registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.commands import Lamina


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_registry(tmp_path_factory.mktemp("registry")) as host:
        yield host


def test_a_tag_that_moved_and_the_environment_of_a_base_image(
    registry: str, machine: Callable[[str], Lamina], context: Callable[..., Path], tmp_path: Path
) -> None:
    publisher, here = machine("publisher"), machine("here")
    name = f"{registry}/moving:1"
    user = tmp_path / "user"
    user.mkdir()
    (user / "Dockerfile").write_text(f"FROM {name}\nRUN echo $A\n")
    for value in ("1", "2"):
        publisher.build(context(f"ENV A={value}\nRUN echo {value} > /a\n"), "--push", "-t", name)
        here.build(user, "--pull")
    found = explained(here)
    [run] = [text for step, text in found.items() if step.startswith("RUN")]
    assert run.startswith("base image's ENV A changed from 1 to 2, depends on FROM")
    assert run.endswith("which moved")
    if images := [text for step, text in found.items() if step.startswith("FROM")]:
        assert images[0].startswith("tag moved from sha256:")


def test_pruned_results(lamina: Lamina, context: Callable[..., Path]) -> None:
    folder = context("FROM base\nRUN true\n")
    lamina.build(folder)
    assert lamina("prune", "-af").code == 0
    lamina.build(folder)
    found = explained(lamina)
    assert len(found) == 3
    assert all(text.startswith("result was pruned on 2") for text in found.values()), found


def test_a_step_that_failed_before(lamina: Lamina, context: Callable[..., Path]) -> None:
    folder = context("FROM base\nRUN exit 3\nRUN true\n")
    for _ in range(2):
        assert lamina("build", str(folder)).code == 1
    [text] = explained(lamina).values()
    assert text.startswith("it failed in build ")
    lamina.build(context("FROM base\nRUN exit 0\nRUN true\n"))
    assert explained(lamina) == {"RUN exit 0": "command changed", "RUN true": "never built here"}


def test_a_build_that_failed_early_is_not_what_later_steps_are_compared_with(
    lamina: Lamina, context: Callable[..., Path]
) -> None:
    files = {"a": "1"}
    lamina.build(context("FROM base\nCOPY a /a\nRUN true\n", files))
    assert lamina("build", str(context("FROM base\nCOPY b /a\nRUN true\n", files))).code == 1
    lamina.build(context("FROM base\nCOPY a /a\nRUN true\n", {"a": "22"}))
    assert explained(lamina) == {
        "COPY a /a": "a changed",
        "RUN true": "depends on COPY a /a, which changed",
    }


def test_an_imported_cache_that_lacks_a_step(
    machine: Callable[[str], Lamina], context: Callable[..., Path], tmp_path: Path
) -> None:
    one, other = machine("one"), machine("other")
    one.build(context("FROM base\nRUN true\n"), f"--cache-to=type=local,dest={tmp_path}/cache")
    folder = context("FROM base\nRUN true\nRUN echo 2\n")
    other.build(folder, f"--cache-from=type=local,src={tmp_path}/cache")
    assert explained(other) == {"RUN echo 2": "imported cache lacks this step"}


def test_another_output_although_nothing_changed(
    lamina: Lamina, context: Callable[..., Path]
) -> None:
    run = "RUN cat /proc/sys/kernel/random/uuid > /id"
    folder = context(f"FROM base AS b\n{run}\nFROM base\nCOPY --from=b /id /\n")
    lamina.build(folder)
    lamina.build(folder, "--no-cache-filter=b")
    found = explained(lamina)
    assert found[run] == "--no-cache"
    assert found["COPY --from=b /id /"] == f"id changed in the output of {run}"


def test_secrets_are_no_cause(lamina: Lamina, context: Callable[..., Path]) -> None:
    folder = context("FROM base\nRUN --mount=type=secret,id=s cat /run/secrets/s | wc -c\n")
    lamina.build(folder, "--secret=id=s,env=S", env={"S": "one"})
    lamina.build(folder, "--secret=id=s,env=S", env={"S": "three"})
    assert explained(lamina) == {}


def test_credentials_in_urls_are_not_shown(lamina: Lamina, context: Callable[..., Path]) -> None:
    folder = context("FROM base\nARG URL\nRUN true\n")
    lamina.build(folder, "--build-arg=URL=https://me:hush1@host/x")
    lamina.build(folder, "--build-arg=URL=https://me:hush2@host/x")
    done = lamina("explain")
    assert "RUN true — the credentials in a URL changed" in done.out
    assert "hush" not in done.out + lamina("explain", "--format=json").out


def test_pairs_of_causes(lamina: Lamina, context: Callable[..., Path]) -> None:
    text = "FROM base\nARG V=1\nRUN echo $V\nCOPY src /src\n"
    lamina.build(context(text + "RUN cat /src/a\n", {"src/a": "1"}))
    changed = text.replace("RUN echo", "USER 7\nRUN echo") + "RUN cat /src/a; true\n"
    lamina.build(context(changed, {"src/a": "22"}), "--build-arg=V=3")
    assert explained(lamina) == {
        "RUN echo 3": "build argument V changed from 1 to 3, user added (7)",
        "COPY src /src": "src/a changed, depends on RUN echo 3, which changed",
        "RUN cat /src/a; true": "command changed, build argument V changed from 1 to 3,"
        " user added (7), depends on COPY src /src, which changed and on RUN echo 3, which changed",
    }


def test_what_cannot_be_explained(lamina: Lamina, context: Callable[..., Path]) -> None:
    nothing = lamina("explain")
    assert nothing.code == 1
    assert "no build is recorded" in nothing.err
    lamina.build(context("FROM base\n"))
    unknown = lamina("explain", "^4")
    assert unknown.code == 1
    assert "no build ^4" in unknown.err
    itself = lamina("explain", "^", "--against", "^")
    assert itself.code == 1
    assert "cannot be compared with itself" in itself.err

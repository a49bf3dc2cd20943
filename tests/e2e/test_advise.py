"""`lamina advise`: prints patches, writes them, and measures their effect."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.commands import Lamina

# A compiler that prints whether it found its cache.
COMPILER = r"""COPY --chmod=755 <<"EOF" /bin/go
#!/bin/sh
cache=/root/.cache/go-build
mkdir -p $cache
if test -e $cache/done; then echo warm; else echo cold; fi
touch $cache/done
EOF
"""
BUILD = """# the service
FROM base AS build
WORKDIR /src
COPY main.go ./
RUN go build \\
    -o /app .
"""
AFTER = BUILD.replace(
    "RUN go",
    "RUN --mount=type=cache,target=/root/go/pkg/mod \\\n"
    "    --mount=type=cache,target=/root/.cache/go-build \\\n"
    "    go",
)
FILES = {"main.go": "package main\n"}


@pytest.fixture
def service(context: Callable[..., Path]) -> Path:
    return context(COMPILER + BUILD, FILES)


def tree(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_apply_writes_what_a_build_uses(lamina: Lamina, service: Path) -> None:
    assert "cold" in lamina.build(service)
    (service / "main.go").write_text("package main // edited\n")
    assert "cold" in lamina.build(service)
    done = lamina("advise", "--apply", str(service))
    assert done.code == 0, done.err
    assert "1 item of advice, written to" in done.out
    text = (service / "Dockerfile").read_text()
    assert text.endswith(COMPILER + AFTER)
    assert "cold" in lamina.build(service)
    (service / "main.go").write_text("package main // edited again\n")
    assert "warm" in lamina.build(service)
    again = lamina("advise", str(service))
    assert (again.code, again.out) == (0, "No advice.\n")


def test_heredocs_with_advice_build(lamina: Lamina, context: Callable[..., Path]) -> None:
    text = COMPILER + "FROM base\nARG N\nRUN <<EOF\n# build\ngo build\nEOF\n"
    folder = context(text, FILES)
    assert lamina("advise", "--apply", str(folder)).code == 0
    assert "--mount=type=cache" in (folder / "Dockerfile").read_text()
    assert "cold" in lamina.build(folder)
    assert "warm" in lamina.build(folder, "--build-arg=N=2")


def test_the_saving_is_that_of_the_last_build(lamina: Lamina, context: Callable[..., Path]) -> None:
    text = COMPILER + "FROM base\nARG N=1\nWORKDIR /src\nRUN go build -n $N && sleep 1\n"
    folder = context(text, FILES)
    lamina.build(folder, "--build-arg", "N=2")

    def seconds(*arguments: str) -> float | None:
        done = lamina("advise", "--format", "json", *arguments, str(folder))
        assert done.code == 0, done.err
        found = json.loads(done.out)["Saving"]["Seconds"]
        assert found is None or isinstance(found, float)
        return found

    assert (seconds("--build-arg", "N=2") or 0) >= 1
    assert seconds("--build-arg", "N=3") is None
    lamina.build(folder, "--build-arg", "N=2")  # cached: the earlier build counts
    assert (seconds("--build-arg", "N=2") or 0) >= 1
    assert "Saves up to " in lamina("advise", "--build-arg", "N=2", str(folder)).out


def test_patches_apply_with_git(lamina: Lamina, service: Path, tmp_path: Path) -> None:
    (service / ".venv").mkdir()
    (service / ".venv" / "python").write_text("x" * 1000)
    dockerfile = service / "Dockerfile"
    dockerfile.write_text(dockerfile.read_text().replace("COPY main.go ./", "COPY . ./"))
    done = subprocess.run(
        lamina.command("advise", "--format", "json"), cwd=service, capture_output=True, check=True
    )
    items = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(item["Kind"], item["File"]) for item in items] == [
        ("context", ".dockerignore"),
        ("cache-mount", "Dockerfile"),
    ]
    assert items[0]["Saving"]["Bytes"] == 1000
    assert items[1]["Instruction"] == "RUN go build     -o /app ."
    for item in items:
        subprocess.run(["git", "apply", "-"], input=item["Patch"].encode(), cwd=service, check=True)
    assert "target=/root/.cache/go-build" in dockerfile.read_text()
    assert (service / ".dockerignore").read_text() == ".venv\n"


def test_prove_builds_both_versions(lamina: Lamina, service: Path) -> None:
    before = tree(service)
    done = lamina("advise", "--prove", str(service))
    assert done.code == 0, done.err
    assert tree(service) == before
    lines = done.out.splitlines()
    header = next(n for n, line in enumerate(lines) if line.startswith("DOCKERFILE"))
    assert lines[header].endswith("AFTER AN EDIT OF main.go")
    for line, version in zip(lines[header + 1 :], ("as it is", "with the advice"), strict=False):
        assert line.startswith(version)
        assert [float(cell.removesuffix("s")) > 0 for cell in line.split()[-2:]] == [True, True]
    # The builds were in other stores: this one is empty.
    assert lamina("du").out.count("go build") == 0


def test_prove_with_a_base_of_the_local_store(
    lamina: Lamina, context: Callable[..., Path], tmp_path: Path
) -> None:
    lamina.build(context(COMPILER), "-t", "compiler")
    folder = tmp_path / "other"
    folder.mkdir()
    (folder / "Dockerfile").write_text("FROM compiler\nCOPY main.go /src/\nRUN go build\n")
    (folder / "main.go").write_text("package main\n")
    done = lamina("advise", "--prove", "--format", "json", "--edit", "main.go", str(folder))
    assert done.code == 0, done.err
    times = [json.loads(line) for line in done.out.splitlines()[-2:]]
    assert [one["Dockerfile"] for one in times] == ["as it is", "with the advice"]
    assert all(one["Edited"] == "main.go" and one["SecondSeconds"] > 0 for one in times)


def test_prove_reports_a_build_that_fails(lamina: Lamina, service: Path) -> None:
    dockerfile = service / "Dockerfile"
    dockerfile.write_text(dockerfile.read_text() + "RUN echo broken && false\n")
    before = tree(service)
    done = lamina("advise", "--prove", "--apply", str(service))
    assert done.code == 1
    assert "ERROR: the first build of the Dockerfile as it is failed" in done.err
    assert "echo broken" in done.err
    assert tree(service) == before


def test_only_some_kinds(lamina: Lamina, service: Path) -> None:
    done = lamina("advise", "--kind", "secret", "--kind", "context", str(service))
    assert (done.code, done.out) == (0, "No advice.\n")


def test_a_dockerfile_with_its_own_ignore_file(lamina: Lamina, service: Path) -> None:
    (service / ".venv").mkdir()
    (service / ".venv" / "python").write_text("x")
    (service / "app.Dockerfile").write_text("FROM scratch\nCOPY . /\n")
    (service / "app.Dockerfile.dockerignore").write_text("# mine\n")
    (service / ".dockerignore").write_text("# other\n")
    done = lamina("advise", "--apply", "-f", str(service / "app.Dockerfile"), str(service))
    assert done.code == 0, done.err
    assert (service / "app.Dockerfile.dockerignore").read_text() == "# mine\n.venv\n"
    assert (service / ".dockerignore").read_text() == "# other\n"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["-"], "is not a directory on this machine"),
        (["https://example.com/a.git"], "is not a directory on this machine"),
        (["--kind", "speed", "CONTEXT"], 'invalid argument "speed" for --kind'),
        (["--target", "nothing", "CONTEXT"], 'target stage "nothing" could not be found'),
        (["--apply", "-f", "-", "CONTEXT"], "--apply needs a Dockerfile that can be written"),
        (["--prove", "--edit", "none.go", "CONTEXT"], "--edit none.go: no such file"),
        (["--prove", "--edit", "../store", "CONTEXT"], "--edit ../store: no such file"),
        (["-f", "missing", "CONTEXT"], "missing: no such file"),
    ],
)
def test_errors(lamina: Lamina, service: Path, arguments: list[str], error: str) -> None:
    before = tree(service)
    words = [str(service) if word == "CONTEXT" else word for word in arguments]
    done = lamina("advise", *words, stdin=b"FROM scratch\n")
    assert done.code == 1
    assert error in done.err
    assert "Traceback" not in done.err
    assert tree(service) == before


def test_a_dockerfile_that_cannot_be_parsed(lamina: Lamina, service: Path) -> None:
    (service / "Dockerfile").write_text("FROM scratch\nRUM x\n")
    done = lamina("advise", str(service))
    assert done.code == 1
    assert ">>> RUM x" in done.err
    assert "unknown instruction: RUM" in done.err

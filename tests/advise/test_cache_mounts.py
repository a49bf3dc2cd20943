"""Cache mounts: their paths and flags, and the commands that they make unnecessary."""

from __future__ import annotations

import pytest

from lamina.advise.advice import Kind
from lamina.dockerfile.lexer import parse_document
from tests.advise.advising import items, mounts


def flags(text: str, files: dict[str, str] | None = None) -> list[str]:
    """The flags of the last instruction, without their common part."""
    node = parse_document(mounts(text, files), "Dockerfile").nodes[-1]
    return [flag.removeprefix("--mount=type=cache,") for flag in node.flags]


@pytest.mark.parametrize(
    ("base", "command", "targets"),
    [
        ("alpine", "apk add bash", ["target=/var/cache/apk"]),
        ("fedora:40", "dnf install -y gcc", ["target=/var/cache/dnf,sharing=locked"]),
        ("fedora:41", "dnf install -y gcc", ["target=/var/cache/libdnf5,sharing=locked"]),
        ("fedora", "dnf -y update", ["target=/var/cache/libdnf5,sharing=locked"]),
        ("ubi9-minimal", "microdnf install gcc", ["target=/var/cache/yum,sharing=locked"]),
        ("centos:7", "yum -y install gcc", ["target=/var/cache/yum,sharing=locked"]),
        ("python", "pip install flask", ["target=/root/.cache/pip"]),
        ("python", "python3 -m pip install flask", ["target=/root/.cache/pip"]),
        ("python", "/usr/bin/pip3.11 install flask", ["target=/root/.cache/pip"]),
        ("python", "uv sync --frozen", ["target=/root/.cache/uv"]),
        ("python", "uv pip install x", ["target=/root/.cache/uv"]),
        (
            "python",
            "poetry install --no-root",
            ["target=/root/.cache/pypoetry/cache", "target=/root/.cache/pypoetry/artifacts"],
        ),
        ("node", "npm ci", ["target=/root/.npm"]),
        ("node", "npm install -g pnpm", ["target=/root/.npm"]),
        ("node", "pnpm install --frozen-lockfile", ["target=/root/.local/share/pnpm/store"]),
        ("node", "yarn", ["target=/usr/local/share/.cache/yarn"]),
        ("node", "yarn install --frozen-lockfile", ["target=/usr/local/share/.cache/yarn"]),
        ("golang", "go mod download", ["target=/go/pkg/mod"]),
        (
            "golang:1.22-alpine",
            "CGO_ENABLED=0 go build .",
            ["target=/go/pkg/mod", "target=/root/.cache/go-build"],
        ),
        ("debian", "go test ./...", ["target=/root/go/pkg/mod", "target=/root/.cache/go-build"]),
        (
            "rust:1.75",
            "cargo build --release",
            ["target=/usr/local/cargo/registry", "target=/usr/local/cargo/git"],
        ),
        (
            "debian",
            "cargo +nightly build",
            ["target=/root/.cargo/registry", "target=/root/.cargo/git"],
        ),
        ("maven:3", "mvn -B package", ["target=/root/.m2/repository"]),
        ("eclipse-temurin", "./mvnw package", ["target=/root/.m2/repository"]),
        ("gradle", "gradle build", ["target=/root/.gradle,sharing=locked"]),
        ("eclipse-temurin", "./gradlew build", ["target=/root/.gradle,sharing=locked"]),
        ("php:8", "composer install --no-dev", ["target=/root/.composer/cache"]),
        ("composer:2", "composer install", ["target=/tmp/cache"]),
        ("gcc", "ccache gcc -c a.c", ["target=/root/.ccache"]),
        ("gcc", "CC='ccache gcc' make", ["target=/root/.ccache"]),
        # Not these.
        ("node", "npm run build", []),
        ("node", "yarn build", []),
        ("golang", "go version", []),
        ("python", "pip --version", []),
        ("debian", "apt-mark hold x", []),
        ("debian", "echo pip install x", []),
        ("maven", "mvn --version", []),
    ],
)
def test_targets(base: str, command: str, targets: list[str]) -> None:
    assert flags(f"FROM {base}\nRUN {command}\n") == targets


def test_apt_keeps_its_packages() -> None:
    text = """FROM debian
RUN apt-get update && \\
    apt-get install -y --no-install-recommends \\
        # the compiler
        gcc && \\
    apt-get clean && \\
    rm -rf /var/lib/apt/lists/* /tmp/x
RUN apt-get install -y make && rm -rf /var/lib/apt/lists/*
"""
    assert (
        mounts(text)
        == """FROM debian
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked \\
    --mount=type=cache,target=/var/lib/apt/lists,sharing=locked \\
    rm -f /etc/apt/apt.conf.d/docker-clean && \\
    apt-get update && \\
    apt-get install -y --no-install-recommends \\
        # the compiler
        gcc && \\
    rm -rf /tmp/x
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked \\
    --mount=type=cache,target=/var/lib/apt/lists,sharing=locked \\
    apt-get install -y make
"""
    )


def test_apt_needs_a_setting_that_apt_get_has() -> None:
    text = mounts("FROM debian\nRUN apt update && apt install -y gcc\n")
    assert "Keep-Downloaded-Packages" in text
    assert text.count("docker-clean") == 1


def test_the_configuration_of_apt_stays_if_a_step_can_have_no_mount() -> None:
    """Without a mount, the changed configuration would keep packages in its layer."""
    text = "FROM debian\nRUN apt-get install -y a\n"
    text += "RUN apt-get install -y b && rm -rf /var/lib/apt/lists/* || true\n"
    assert mounts(text) == text
    text = 'FROM debian\nRUN apt-get install -y a\nRUN ["apt-get", "install", "b"]\n'
    assert mounts(text) == text
    text = "FROM debian AS a\nRUN apt-get install -y a\nFROM a\n"
    text += "RUN case $x in *) apt-get update;; esac\n"
    assert mounts(text) == text


def test_later_steps_that_only_clear_the_cache_go() -> None:
    text = "FROM debian\nRUN apt-get update\n# clean\nRUN apt-get clean && "
    text += "rm -rf /var/lib/apt/lists/*\nRUN x\n"
    assert "# clean" not in mounts(text)
    assert parse_document(mounts(text), "").nodes[-1].rest == "x"
    assert len(parse_document(mounts(text), "").nodes) == 3


def test_flags_and_variables_that_turn_the_cache_off() -> None:
    text = """FROM python
ENV A=1 \\
    PIP_NO_CACHE_DIR=1 \\
    B=2
RUN pip install --no-cache-dir \\
    --upgrade pip
RUN PIP_NO_CACHE_DIR=on pip install x
"""
    assert (
        mounts(text)
        == """FROM python
ENV A=1 \\
    B=2
RUN --mount=type=cache,target=/root/.cache/pip \\
    pip install \\
    --upgrade pip
RUN --mount=type=cache,target=/root/.cache/pip pip install x
"""
    )


def test_a_variable_that_does_not_turn_it_off_stays() -> None:
    text = "FROM python\nENV PIP_NO_CACHE_DIR=0\n"
    text += "RUN --mount=type=cache,target=/root/.cache pip install x\n"
    assert mounts(text) == text


def test_flags_that_fill_the_cache() -> None:
    after = mounts(
        "FROM centos\nRUN dnf -y install gcc && dnf clean all && rm -rf /var/cache/dnf\n"
    )
    assert after.endswith("dnf --setopt=keepcache=1 -y install gcc\n")
    after = mounts("FROM ruby\nRUN bundle install --jobs 4\n")
    assert after.endswith("BUNDLE_GLOBAL_GEM_CACHE=true bundle install --jobs 4\n")
    assert "target=/root/.bundle/cache" in after


@pytest.mark.parametrize(
    ("env", "command", "target"),
    [
        ("PIP_CACHE_DIR=/c", "pip install x", "/c"),
        ("XDG_CACHE_HOME=/c", "uv sync", "/c/uv"),
        ("GOPATH=/w GOCACHE=/b", "go mod download", "/w/pkg/mod"),
        ("PNPM_HOME=/pnpm", "pnpm install", "/pnpm/store"),
        ("CARGO_HOME=/cargo", "cargo build", "/cargo/registry"),
        ("HOME=/h", "npm ci", "/h/.npm"),
        ("D=/c CCACHE_DIR=$D", "ccache gcc a.c", "$D"),
    ],
)
def test_variables_move_the_cache(env: str, command: str, target: str) -> None:
    first = flags(f"FROM x\nENV {env}\nRUN {command}\n")[:1]
    if target.startswith("$"):
        assert first == []  # the variable is set in the same instruction: its value is not known
    else:
        assert first == [f"target={target}"]


def test_users_with_a_known_id() -> None:
    assert flags("FROM node:20\nUSER node\nRUN npm ci\n") == [
        "target=/home/node/.npm,uid=1000,gid=1000"
    ]
    text = "FROM python\nRUN useradd -m -u 1001 app\nUSER app\nRUN pip install x\n"
    assert flags(text) == ["target=/home/app/.cache/pip,uid=1001,gid=1001"]
    text = "FROM alpine\nRUN adduser -D -h /srv -u 5 app\nUSER app\nRUN npm ci\n"
    assert flags(text) == ["target=/srv/.npm,uid=5,gid=5"]


def test_users_that_are_not_known_get_no_mount() -> None:
    assert flags("FROM python\nUSER someone\nRUN pip install x\n") == []
    assert flags("FROM python\nRUN useradd app\nUSER app\nRUN pip install x\n") == []


def test_sudo_is_root() -> None:
    after = mounts("FROM debian\nUSER me\nRUN sudo apt-get update\n")
    assert "target=/var/cache/apt,sharing=locked" in after
    assert after.endswith("sudo rm -f /etc/apt/apt.conf.d/docker-clean && sudo apt-get update\n")


def test_existing_mounts_stay_and_count() -> None:
    for target in ("/root/.cache/pip", "/root/.cache", "/root"):
        text = f"FROM python\nRUN --mount=type=cache,target={target} pip install x\n"
        assert mounts(text) == text
    text = "FROM python\nRUN --mount=type=secret,id=x,target=/root/.cache/pip/x pip install x\n"
    assert mounts(text).count("--mount") == 2


def test_a_mount_that_is_there_is_made_useful() -> None:
    text = (
        "FROM python\nRUN --mount=type=cache,target=/root/.cache/pip pip install --no-cache-dir x\n"
    )
    assert mounts(text) == text.replace(" --no-cache-dir", "")


def test_steps_that_may_need_what_was_downloaded_before() -> None:
    after = mounts("FROM golang\nRUN go mod download\nRUN mkdir x\nRUN make\n")
    assert after.count("target=/go/pkg/mod") == 2
    assert "\nRUN mkdir x\n" in after
    after = mounts("FROM golang AS a\nRUN go mod download\nFROM a\nRUN ./build.sh\n")
    assert after.count("target=/go/pkg/mod") == 2


@pytest.mark.parametrize(
    "text",
    [
        # Another stage copies the files.
        "FROM golang AS a\nRUN go mod download\nFROM x\nCOPY --from=a /go/pkg/mod /m\n",
        "FROM golang AS a\nRUN go mod download\nFROM x\nCOPY --from=0 /go /m\n",
        "FROM golang AS a\nRUN go mod download\nFROM x\n"
        "RUN --mount=type=bind,from=a,source=/go/pkg,target=/m y\n",
        # The container runs the program.
        'FROM golang\nRUN go mod download\nCMD ["go", "run", "."]\n',
        "FROM maven\nRUN mvn package\nENTRYPOINT mvn exec:java\n",
        # A mount would hide files.
        "FROM maven\nCOPY --from=deps /root/.m2 /root/.m2\nRUN mvn package\n",
        "FROM gradle\nRUN echo a=b > ~/.gradle/gradle.properties\nRUN gradle build\n",
        # The command deletes more than the cache.
        "FROM composer\nRUN composer install && rm -rf /tmp/*\n",
        # Not a POSIX shell.
        'FROM python\nSHELL ["pwsh"]\nRUN pip install x\n',
        "FROM mcr.microsoft.com/windows/servercore:ltsc2022\nRUN pip install x\n",
        # Triggers of other builds.
        "FROM python\nONBUILD RUN pip install x\n",
    ],
)
def test_where_a_mount_would_be_wrong(text: str) -> None:
    assert mounts(text) == text


def test_the_whole_copy_of_a_stage_is_no_reason() -> None:
    text = "FROM alpine AS a\nRUN apk add x\nFROM scratch\nCOPY --from=a / /\n"
    assert "target=/var/cache/apk" in mounts(text)


def test_heredocs() -> None:
    text = """FROM debian
RUN <<EOF
#!/bin/sh
# first
apt-get update
rm -rf /var/lib/apt/lists/*
EOF
RUN python3 <<EOF
print("pip install x")
EOF
"""
    assert (
        mounts(text)
        == """FROM debian
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked \\
    --mount=type=cache,target=/var/lib/apt/lists,sharing=locked \\
    <<EOF
#!/bin/sh
rm -f /etc/apt/apt.conf.d/docker-clean
# first
apt-get update
EOF
RUN python3 <<EOF
print("pip install x")
EOF
"""
    )


def test_comments_of_the_next_command_stay() -> None:
    text = "FROM x\nRUN apt-get clean && \\\n  # update\n  apt-get update\n"
    assert "RUN --mount" in mounts(text)
    assert mounts(text).endswith("&& \\\n  \\\n  # update\n  apt-get update\n")
    text = "FROM x\nRUN <<EOF\napt-get clean\n  # update\napt-get update\nEOF\n"
    assert mounts(text).endswith("docker-clean\n# update\napt-get update\nEOF\n")


def test_line_ends_and_escapes_of_windows() -> None:
    text = "# escape=`\r\nFROM node\r\nRUN npm ci `\r\n  --omit=dev\r\n"
    assert mounts(text) == (
        "# escape=`\r\nFROM node\r\nRUN --mount=type=cache,target=/root/.npm `\r\n"
        "  npm ci `\r\n  --omit=dev\r\n"
    )


def test_yarn_of_the_project() -> None:
    text = "FROM node\nRUN yarn install\n"
    assert flags(text, {".yarnrc.yml": "nodeLinker: node-modules\n"}) == [
        "target=/root/.yarn/berry/cache"
    ]
    # With Plug'n'Play, the program needs the files.
    assert flags(text, {".yarnrc.yml": "yarnPath: x\n"}) == []


class Records:
    """Knows the duration of one step."""

    def seconds(self, instruction: str) -> float | None:
        return 12.5 if instruction == "RUN   go   build" else None


def test_the_text_of_an_item() -> None:
    text = "FROM golang\nRUN   go \\\n  build\nRUN go test\n"
    first, second = items(text, None, Kind.CACHE_MOUNT, times=Records())
    assert (first.line, first.subject) == (2, "RUN   go   build")
    kept = "Go keeps modules in /go/pkg/mod and compiled packages in /root/.cache/go-build."
    assert kept in first.reason
    assert (first.saving.seconds, second.saving.seconds) == (12.5, None)


def test_files_copied_to_the_home_directory_are_no_obstacle() -> None:
    assert flags("FROM node\nCOPY .npmrc /root/\nRUN npm ci\n") == ["target=/root/.npm"]

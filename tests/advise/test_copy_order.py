"""Installations after a COPY of everything."""

from __future__ import annotations

import pytest

from lamina.advise.advice import Kind
from tests.advise.advising import improved, items

NODE = {"package.json": "{}", "package-lock.json": "", "index.js": ""}


def ordered(text: str, files: dict[str, str]) -> str:
    return improved(text, files, Kind.COPY_ORDER)


def body(lines: str, files: dict[str, str]) -> str:
    """The lines after `FROM x` and `WORKDIR /app`, with the advice applied."""
    head = "FROM x\nWORKDIR /app\n"
    return ordered(head + lines, files).removeprefix(head)


def test_an_installation_moves() -> None:
    text = "# all of it\nCOPY --chown=1:1 --link . .\n# install\nRUN npm ci\nRUN npm run build\n"
    assert body(text, NODE) == (
        "COPY --chown=1:1 --link package.json package-lock.json ./\n# install\nRUN npm ci\n"
        "# all of it\nCOPY --chown=1:1 --link . .\nRUN npm run build\n"
    )


def test_a_step_is_split() -> None:
    text = "COPY . .\nRUN npm ci \\\n    --no-audit && \\\n    # now build\n    npm run build\n"
    assert body(text, NODE) == (
        "COPY package.json package-lock.json ./\nRUN npm ci \\\n    --no-audit\nCOPY . .\n"
        "RUN \\\n    # now build\n    npm run build\n"
    )


def test_flags_of_a_split_step() -> None:
    text = "COPY . .\nRUN --mount=type=secret,id=npmrc npm ci && npm run build\n"
    assert body(text, NODE) == (
        "COPY package.json package-lock.json ./\nRUN --mount=type=secret,id=npmrc npm ci\n"
        "COPY . .\nRUN --mount=type=secret,id=npmrc npm run build\n"
    )


def test_instructions_in_between_stay_before_the_installation() -> None:
    text = "COPY . /app\nENV A=b\nUSER node\nRUN npm ci\nCMD x\n"
    assert body(text, NODE) == (
        "COPY package.json package-lock.json /app/\nENV A=b\nUSER node\nRUN npm ci\n"
        "COPY . /app\nCMD x\n"
    )


def test_the_last_line_needs_no_end() -> None:
    assert body("COPY . .\nRUN npm ci", NODE) == (
        "COPY package.json package-lock.json ./\nRUN npm ci\nCOPY . ."
    )


@pytest.mark.parametrize(
    ("command", "files", "before"),
    [
        (
            "go build .",
            {"go.mod": "module x", "go.sum": ""},
            ["COPY go.mod go.sum ./", "RUN go mod download"],
        ),
        (
            "poetry install --only main",
            {"pyproject.toml": "", "poetry.lock": ""},
            ["COPY pyproject.toml poetry.lock ./", "RUN poetry install --only main --no-root"],
        ),
        (
            "uv sync --frozen",
            {"pyproject.toml": "", "uv.lock": "", ".python-version": ""},
            [
                "COPY pyproject.toml uv.lock .python-version ./",
                "RUN uv sync --frozen --no-install-project",
            ],
        ),
        (
            "composer install --no-dev",
            {"composer.json": "{}", "composer.lock": ""},
            [
                "COPY composer.json composer.lock ./",
                "RUN composer install --no-dev --no-scripts --no-autoloader",
            ],
        ),
        (
            "mvn -B package",
            {"pom.xml": "<project/>"},
            ["COPY pom.xml ./", "RUN mvn -B dependency:go-offline"],
        ),
        (
            "./mvnw package",
            {"pom.xml": "", "mvnw": "", ".mvn/wrapper/maven-wrapper.properties": ""},
            [
                "COPY pom.xml mvnw ./",
                "COPY .mvn/wrapper/maven-wrapper.properties ./.mvn/wrapper/",
                "RUN ./mvnw -B dependency:go-offline",
            ],
        ),
        (
            "cargo build --release",
            {"Cargo.toml": "[package]", "Cargo.lock": ""},
            [
                "COPY Cargo.toml Cargo.lock ./",
                "RUN mkdir src && echo 'fn main() {}' > src/main.rs"
                " && cargo fetch --locked && rm -r src",
            ],
        ),
    ],
)
def test_a_command_prepares(command: str, files: dict[str, str], before: list[str]) -> None:
    text = f"COPY . .\nRUN {command}\n"
    lines = body(text, files).splitlines()
    assert lines == [*before, "COPY . .", f"RUN {command}"]


@pytest.mark.parametrize(
    ("command", "files", "copied"),
    [
        ("pip install -r requirements.txt", {"requirements.txt": "flask"}, "requirements.txt ./"),
        (
            "pip install -r a.txt -cb.txt",
            {"a.txt": "-r c.txt\nx", "b.txt": "", "c.txt": ""},
            "a.txt c.txt b.txt ./",
        ),
        ("pip install --requirement=d/a.txt", {"d/a.txt": ""}, "d/a.txt ./d/"),
        ("uv pip install -r r.txt", {"r.txt": ""}, "r.txt ./"),
        ("poetry install --no-root", {"pyproject.toml": ""}, "pyproject.toml ./"),
        ("go mod download", {"go.mod": ""}, "go.mod ./"),
        (
            "yarn --frozen-lockfile",
            {"package.json": "{}", "yarn.lock": ""},
            "package.json yarn.lock ./",
        ),
        ("pnpm install", {"package.json": "{}"}, "package.json ./"),
        ("bundle install", {"Gemfile": "", "Gemfile.lock": ""}, "Gemfile Gemfile.lock ./"),
        ("npm install --omit dev", NODE, "package.json package-lock.json ./"),
    ],
)
def test_files_that_are_copied_first(command: str, files: dict[str, str], copied: str) -> None:
    assert body(f"COPY . .\nRUN {command}\n", files) == f"COPY {copied}\nRUN {command}\nCOPY . .\n"


def test_system_packages_come_first() -> None:
    text = "COPY . .\nRUN apt-get update && apt-get install -y x\nRUN useradd u\nRUN make\n"
    assert body(text, {}) == (
        "RUN apt-get update && apt-get install -y x\nRUN useradd u\nCOPY . .\nRUN make\n"
    )


@pytest.mark.parametrize(
    ("lines", "files"),
    [
        ("COPY . .\nRUN npm run build\n", NODE),
        ("COPY . .\nRUN npm ci\n", {}),
        ("COPY src .\nRUN npm ci\n", NODE),
        ("COPY --from=a . .\nRUN npm ci\n", NODE),
        ("COPY . /\nRUN npm ci\n", NODE),
        ("COPY . /other\nRUN npm ci\n", NODE),
        ("COPY . .\nWORKDIR /app/sub\nRUN npm ci\n", NODE),
        ("COPY . .\nRUN cd sub && npm ci\n", NODE),
        ("COPY . .\nRUN npm --prefix sub ci\n", NODE),
        ("COPY . .\nRUN npm ci || true\n", NODE),
        ("COPY . .\nRUN npm install ./local\n", NODE),
        ("COPY . .\nRUN npm ci\n", {"package.json": '{"scripts": {"postinstall": "node x"}}'}),
        ("COPY . .\nRUN npm ci\n", {"package.json": '{"dependencies": {"a": "file:./a"}}'}),
        ("COPY . .\nRUN npm ci\n", {"package.json": "broken"}),
        ("COPY . .\nRUN npm ci\n", {**NODE, "node_modules/a.js": ""}),
        ("COPY . .\nRUN yarn\n", {**NODE, ".yarnrc.yml": "x"}),
        ("COPY . .\nRUN pip install .\n", {"pyproject.toml": ""}),
        ("COPY . .\nRUN pip install -r r.txt\n", {"r.txt": "-e ."}),
        ("COPY . .\nRUN pip install -r r.txt\n", {}),
        ("COPY . .\nRUN go build .\n", {"go.mod": "replace a => ./a"}),
        ("COPY . .\nRUN go build .\n", {"go.mod": "", "vendor/modules.txt": "# a"}),
        ("COPY go.mod .\nRUN go mod download\nCOPY . .\nRUN go build .\n", {"go.mod": ""}),
        ("COPY . .\nRUN mvn package\n", {"pom.xml": "<modules>"}),
        ("COPY . .\nRUN cargo build\n", {"Cargo.toml": "[workspace]", "Cargo.lock": ""}),
        ("COPY . .\nRUN bundle install\n", {"Gemfile": "gemspec"}),
        ("COPY . .\nRUN go install h/x@latest\n", {"go.mod": ""}),
        ("COPY . .\nRUN cargo install x\n", {"Cargo.toml": "", "Cargo.lock": ""}),
        ("COPY . .\nRUN mvn -s s.xml package\n", {"pom.xml": ""}),
        ("COPY . .\nRUN pip install -r r.txt\n", {"r.txt": "wheels/a.whl"}),
        ("COPY . .\nRUN pip install --find-links=/app/w x\n", {}),
        ("COPY . .\nRUN pip install '.[dev]'\n", {}),
        ("COPY . .\nRUN apt-get install -y ./x.deb\n", {}),
        ("COPY . .\nRUN <<EOF\nnpm ci\nnpm run build\nEOF\n", NODE),
    ],
)
def test_what_stays(lines: str, files: dict[str, str]) -> None:
    assert body(lines, files) == lines


def test_scripts_do_not_matter_if_they_are_not_run() -> None:
    files = {"package.json": '{"scripts": {"postinstall": "x"}}'}
    assert body("COPY . .\nRUN npm ci --ignore-scripts\n", files).startswith("COPY package.json ./")


class Records:
    def seconds(self, instruction: str) -> float | None:
        return {"RUN npm ci": 30.0, "RUN npm i -g x": 2.0}.get(instruction)


def test_the_saving_is_that_of_all_that_moves() -> None:
    text = "FROM x\nWORKDIR /a\nCOPY . .\nRUN npm i -g x\nRUN npm ci\nRUN make\n"
    (item,) = items(text, NODE, Kind.COPY_ORDER, times=Records())
    assert item.saving.seconds == 32.0
    assert (item.line, item.subject) == (3, "COPY . .")
    assert "package.json, package-lock.json" in item.reason


@pytest.mark.parametrize(
    ("copy", "to"),
    [("COPY a.conf", "/app/"), ("COPY --from=build /o", "/usr/local/bin/o"), ("ADD a", "/srv/a")],
)
def test_packages_do_not_wait_for_files(copy: str, to: str) -> None:
    text = (
        f"FROM go AS build\nFROM x\n# files\n{copy} {to}\n# system\nRUN apk add a \\\n  b\nRUN c\n"
    )
    kind = Kind.PARALLEL if "--from" in copy else Kind.COPY_ORDER
    assert improved(text, None, kind) == (
        f"FROM go AS build\nFROM x\n# system\nRUN apk add a \\\n  b\n# files\n{copy} {to}\nRUN c\n"
    )
    (item,) = items(text, None, kind)
    assert ("build" in item.reason) == (kind is Kind.PARALLEL)


@pytest.mark.parametrize(
    "text",
    [
        "FROM x\nCOPY sources.list /etc/apt/\nRUN apt-get update\n",
        "FROM x\nCOPY a /\nRUN apk add b\n",
        "FROM x\nCOPY a $B\nRUN apk add b\n",
        "FROM x\nCOPY a.deb /a.deb\nRUN apt-get install -y /a.deb\n",
        "FROM x\nCOPY a /app/\nRUN apk add b && make\n",
        "FROM x\nCOPY a /app/\nENV A=b\nRUN apk add b\n",
    ],
)
def test_packages_that_may_need_the_files(text: str) -> None:
    assert items(text, None, Kind.PARALLEL, Kind.COPY_ORDER) == []


def test_virtual_packages_are_no_files() -> None:
    text = "COPY . .\nRUN apk add --virtual .b gcc\nRUN make\n"
    assert body(text, {}) == "RUN apk add --virtual .b gcc\nCOPY . .\nRUN make\n"
